"""Server-sent events, taken apart as they arrive.

A reader feeds it the upstream's bytes, cut anywhere; it gives back whole events. It is tolerant of
every line end, byte order mark, comment and field the standard allows, costs linear time however
the bytes are cut, and holds at most one event. It never looks inside the data.
"""

from collections.abc import Mapping

from msgspec import Struct

MAX_EVENT = 1 << 20
"""Bytes of one event. An upstream that sends more without an end is broken, or means harm."""

_BOM = b"\xef\xbb\xbf"
_NEWLINE = 10


def begins(status: int, headers: Mapping[str, str]) -> bool:
    """Whether this head begins a stream of events that can be read as it comes."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = headers.get("content-encoding", "identity").strip().lower()
    return status == 200 and media == "text/event-stream" and coding == "identity"


class Event(Struct, frozen=True):
    """One dispatched event."""

    data: bytes
    """All `data` lines, joined by newlines."""
    raw: bytes
    """The event for the wire, in the plain framing `data: …` and a blank line."""
    name: bytes = b""
    """The `event` field; empty for the usual unnamed ones."""


class Splitter:
    """Turns bytes into events. `overflow` is set, for good, when an event grows over the cap."""

    __slots__ = ("_after_cr", "_held", "_held_size", "_opening", "between", "overflow")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_size = 0
        self._opening: bytes | None = b""
        self._after_cr = False
        self.between = False
        """Whether the next byte surely begins an event, and nothing that came before has a say in it."""
        self.overflow = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        if not (self.between and data.endswith(b"\n\n") and b"\r" not in data):
            data = self._whole(data)
        events: list[Event] = []
        for block in data.split(b"\n\n")[:-1]:
            if len(block) > MAX_EVENT:
                self.overflow, self.between = True, False
                break
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(Event(block[6:], block + b"\n\n"))
            elif (event := _event(block)) is not None:
                events.append(event)
        return events

    def _whole(self, data: bytes) -> bytes:
        """The whole events, in plain lines, that there are with what `data` brings; the rest is held."""
        if not data:
            return b""
        self.between = False
        if self._opening is not None:
            data = self._open(data)
        if self._after_cr or b"\r" in data:
            data = self._plain_lines(data)
        if not data or self.overflow:
            return b""
        if b"\n\n" not in data and not (
            data[0] == _NEWLINE and self._held and self._held[-1][-1] == _NEWLINE
        ):
            self._hold(data)
            return b""
        if self._held:
            self._held.append(data)
            data = b"".join(self._held)
        self._held = []
        self._held_size = 0
        end = data.rindex(b"\n\n") + 2
        if end < len(data):
            self._hold(data[end:])
        else:
            self.between = not self._after_cr
        return data[:end]

    def rest(self) -> list[Event]:
        """At the end of the body: the event whose closing blank line never came, if there is one."""
        if self._opening:
            self._hold(self._opening)
            self._opening = None
        return self.feed(b"\n\n") if self._held else []

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > MAX_EVENT:
            self.overflow = True
            self._held = []

    def _open(self, data: bytes) -> bytes:
        """Take one byte order mark off the very beginning, which may come in pieces."""
        data = (self._opening or b"") + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._opening = data
            return b""
        self._opening = None
        return data.removeprefix(_BOM)

    def _plain_lines(self, data: bytes) -> bytes:
        """Make every line end a newline; a CRLF may be cut between two pieces."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> Event | None:
    """An event that is more than a line of data, or none."""
    if block.startswith(b"event: "):
        name, _, data = block.partition(b"\n")
        if data.startswith(b"data: ") and b"\n" not in data:
            return Event(data[6:], data + b"\n\n", name[7:])
    return _fields(block)


def _fields(block: bytes) -> Event | None:
    """The slow way, for comments, other fields and orders, several lines."""
    lines: list[bytes] = []
    name = b""
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    if not lines and not name:
        return None
    raw = b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    return Event(b"\n".join(lines), raw, name)
