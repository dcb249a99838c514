"""The log: one event, one line of JSON in plain ASCII.

`app.py` calls `configure_logging` once, before anything can happen. Facts ride in `extra`. Values are
cut to a length, control and odd characters are escaped, and of an exception only its type and its
place are told, because its text may quote a prompt, an answer or a key.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from proxy.errors import Failure

TEXT_CHARS_MAX = 2000
FACT_CHARS_MAX = 512
FRAMES_MAX = 30

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


def configure_logging(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every log record of the process to `stream` (standard error if none) as JSON lines."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # A record that cannot be written must not spill its raw arguments over standard error.
    logging.raiseExceptions = False


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
