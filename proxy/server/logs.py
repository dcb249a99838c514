"""The log: one event, one line of JSON in plain ASCII.

The command that serves or rehearses calls `configure_logging` once, before anything can happen. Facts ride
in `extra`. Values are cut to a length, control and odd characters are escaped, and of an exception only its
type and its place are told, because its text may quote a prompt, an answer or a key. Where nobody reads
them, lines are dropped and counted: records are written by whoever has something to tell, the loop of all
calls among them.
"""

import json
import logging
import os
import select
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from proxy.errors import Failure

TEXT_CHARS_MAX = 2000
FACT_CHARS_MAX = 512
FRAMES_MAX = 30
AT_ONCE = select.PIPE_BUF
"""Bytes that a pipe takes without a wait, if it says that it takes any."""

SPEAKABLE = (OSError, Failure)
"""Exceptions whose own words are safe: an errno, or what a caller would be told."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name,
            "event": _cut(record.getMessage(), TEXT_CHARS_MAX),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = value if isinstance(value, bool | int | float | None) else _fact(value)
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["error"] = _error(record.exc_info[1])
        # ASCII only: no line end, no terminal escape, no lone surrogate can survive it.
        return json.dumps(line)


class Sink(Protocol):
    """Where a handler writes to."""

    def write(self, text: str, /) -> object:
        """Take a line."""
        ...

    def flush(self) -> None:
        """Keep none of it back."""
        ...


class Outlet:
    """A file, pipe or socket that is written to only while it takes something at once.

    A pipe that its reader has forgotten is full after some hundred lines, and a write to it waits for ever.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._room = select.poll()
        self._room.register(file, select.POLLOUT)
        self._lost = 0
        self._torn = False
        """Whether the last line that went out lacks its end."""

    def write(self, line: str) -> None:
        if self._lost:
            told = {"levelname": "WARNING", "name": __name__, "msg": "lines of the log found no room"}
            note = JsonLines().format(logging.makeLogRecord(told | {"lines": self._lost}))
            if self._goes_out(note + "\n"):
                self._lost = 0
        if self._lost or not self._goes_out(line):
            self._lost += 1

    def flush(self) -> None:
        """Nothing is kept."""

    def _goes_out(self, line: str) -> bool:
        data = ("\n" * self._torn + line).encode()
        for start in range(0, len(data), AT_ONCE):
            if not self._room.poll(0):
                self._torn = self._torn or start > 0
                return False
            os.write(self._file, data[start : start + AT_ONCE])
        self._torn = False
        return True


def configure_logging(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every log record of the process to `stream` (standard error if none) as JSON lines."""
    handler = logging.StreamHandler(_sink(stream if stream is not None else sys.stderr))
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # A record that cannot be written must not spill its raw arguments over standard error.
    logging.raiseExceptions = False


def _sink(stream: TextIO) -> Sink:
    with suppress(OSError):  # a stream in memory has no file, and always room
        return Outlet(stream.fileno())
    return stream


def _error(error: BaseException) -> dict[str, Any]:
    told: dict[str, Any] = {"type": type(error).__qualname__}
    if isinstance(error, SPEAKABLE):
        told["text"] = _fact(error)
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    told["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        told["cause"] = type(cause).__qualname__
    return told


def _fact(value: object) -> str:
    return _cut(str(value), FACT_CHARS_MAX)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
