"""YAML text → plain values, with the line of every one.

Called by `load` alone. It reads PyYAML's events instead of its objects, so that no tag can build
anything, no alias can multiply, nesting is bounded and a duplicate key is seen. Scalars are read
as people mean them: `1_000` is a number, `010` is ten, `no`, `on` and `off` are words (a yes-or-no
key understands them), dates and `12:30` are text. It knows nothing of the grammar.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from msgspec import Struct, field

from proxy.config.expand import BadReference, Expander, Unset
from proxy.config.faults import Fault, Path, dotted, plain, seen
from proxy.config.regular import Stamp

SIZE_MAX = 1024 * 1024
DEPTH_MAX = 24
LONGEST_NUMBER = 64

_AGAIN = -1
"""Stands below a key in the path of its second value, which no list position can equal."""

_INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,30}")
_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]{1,4})?")
_WORDS: Mapping[str, None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_TRUTH: Mapping[str, bool] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


class Document(Struct):
    """What a source says, before the grammar judges it."""

    file: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    """The line of each key or list item."""
    written: dict[Path, str] = field(default_factory=dict)
    """The text as it stands in the file, where references were filled in."""
    unset: dict[Path, str] = field(default_factory=dict)
    """Values that need a variable which is not set; they are None in `value`."""
    names: dict[Path, str] = field(default_factory=dict)
    """Places that people know by another name: the variable a value came from."""
    faults: list[Fault] = field(default_factory=list)
    faulted: set[Path] = field(default_factory=set)
    """Where a fault is noted already, so that the same place is not blamed twice."""
    stamp: Stamp | None = None
    """What the file looked like; None: it was none."""

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1 if self.lines else 0

    def fault(self, path: Path, problem: str, remedy: str) -> None:
        """Note a fault at `path`."""
        self.faulted.add(path)
        shown = path[:-1] if path and path[-1] == _AGAIN else path
        name = self.names.get(path) or dotted(shown)
        self.faults.append(Fault(self.file, self.line(path), name, problem, remedy))

    def seen(self, path: Path, value: Any) -> str:
        """What stands at `path`, for a message: as written, so that no variable's value is shown."""
        return seen(path, self.written.get(path, value))

    def word(self, path: Path, name: str) -> str:
        """A name out of the value at `path`; the whole value as written where a variable made it."""
        written = self.written.get(path, "")
        return plain(written if "${" in written else name)


class _Stop(Exception):
    """The text cannot be read any further; the fault is already noted."""


class _Reader:
    """Builds the values of one document out of events."""

    def __init__(self, document: Document, expander: Expander) -> None:
        self.document = document
        self.expander = expander
        self.events: Iterator[yaml.Event] = iter(())

    def read(self, text: str) -> None:
        """Fill the document from `text`."""
        self.events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self.document.lines:
                    self.stop((), event, "a second document begins here", "keep one document a file")
                self.document.lines[()] = 1
            elif isinstance(event, yaml.NodeEvent):
                self.document.value = self.node(event, ())

    def stop(self, path: Path, event: yaml.Event, problem: str, remedy: str) -> None:
        """Give up at `event`."""
        line = _line(event)
        self.document.faults.append(Fault(self.document.file, line, dotted(path), problem, remedy))
        raise _Stop

    def node(self, event: yaml.Event, path: Path) -> Any:
        """The value that begins with `event`."""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.stop(path, event, "anchors and aliases are not read", "write the value out")
        if getattr(event, "tag", None) is not None:
            self.stop(path, event, "tags are not read", "leave out the `!…`")
        if len(path) > DEPTH_MAX:
            self.stop(path[:4], event, "this is nested too deeply", f"keep to {DEPTH_MAX} levels")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event, path)

    def mapping(self, path: Path) -> dict[str, Any]:
        """The mapping whose start was just read; its first value of a key wins."""
        values: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                self.stop(path, event, "a key is not a word", "write `key: value`")
            key = str(getattr(event, "value", ""))
            if key in values:
                first = self.document.lines[(*path, key)]
                self.document.lines[(*path, key, _AGAIN)] = _line(event)
                self.document.fault(
                    (*path, key, _AGAIN), f"this key was written before (line {first})", "keep one of them"
                )
                self.node(next(self.events), (*path, key, _AGAIN))
                continue
            self.document.lines[(*path, key)] = _line(event)
            values[key] = self.node(next(self.events), (*path, key))
        return values

    def sequence(self, path: Path) -> list[Any]:
        """The list whose start was just read."""
        values: list[Any] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            here = (*path, len(values))
            self.document.lines[here] = _line(event)
            values.append(self.node(event, here))
        return values

    def scalar(self, event: yaml.Event, path: Path) -> Any:
        """A word, a number or nothing; references are filled in."""
        text = str(getattr(event, "value", ""))
        if any("\ud800" <= char <= "\udfff" for char in text):
            self.stop(path, event, "this is not Unicode text", "leave out the lone surrogate")
        if "${" in text:
            return self.reference(text, path)
        implicit = getattr(event, "implicit", (False, False))
        value = as_meant(text) if implicit[0] else text
        if not isinstance(value, str):
            self.document.written[path] = text
        return value

    def reference(self, text: str, path: Path) -> str | None:
        """The text with its references filled in; what it lacks is noted."""
        self.document.written[path] = text
        try:
            return self.expander.expand(text)
        except Unset as lack:
            if _AGAIN not in path:
                self.document.unset[path] = lack.name
        except BadReference as bad:
            self.document.fault(path, bad.problem, bad.remedy)
        return None


def _line(event: yaml.Event) -> int:
    """The line where `event` begins, from 1."""
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def as_meant(text: str) -> Any:
    """A bare scalar as a number, a truth, nothing, or itself."""
    if text in _WORDS:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _NUMBER.fullmatch(text) and len(text) < LONGEST_NUMBER:
        number = float(text.replace("_", ""))
        return number if math.isfinite(number) else text
    return text


def _mend(data: bytes, line: int) -> str:
    """What to do about a line that is not YAML; the usual reason is a bare reference in braces."""
    if b"${" in b"".join(data.splitlines()[line - 1 : line]):
        return "inside {…} or […] put ${…} in quotes"
    return "mend the syntax here or just above"


def read(file: str, data: bytes, expander: Expander) -> Document:
    """The document in `data`, with every fault of form; never raises."""
    document = Document(file)
    if len(data) > SIZE_MAX:
        document.fault((), f"the file is larger than {SIZE_MAX // 1024} KiB", "write less")
        return document
    try:
        _Reader(document, expander).read(data.decode("utf-8-sig"))
    except _Stop:
        pass
    except UnicodeDecodeError:
        document.fault((), "the file is not UTF-8", "save it as UTF-8 text")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = plain(f"this is not YAML: {error.problem or error.context}")
        document.faults.append(Fault(file, line, "", problem, _mend(data, line)))
    except (yaml.YAMLError, ValueError, OverflowError):
        document.fault((), "this is not YAML: it holds characters that may not stand there", "retype it")
    return document
