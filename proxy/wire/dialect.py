"""What a dialect is: a wire language, as four pure functions and a reader.

`book.py` has a dialect make the request and its reader, `relay.py` has it judge what comes back. A dialect
holds no state and does no I/O; only its `Reader` remembers, and a reader lives for one attempt. The hub is
the caller's own OpenAI JSON: a dialect translates from it and back to it, never to another dialect.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from msgspec import Struct

from proxy.call import Call, Memory, Signal, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.usage import Usage

Recalled = Mapping[str, bytes]
"""State that this dialect kept (`Memory.state`), by the id of a tool call in the history."""
NOTHING_RECALLED: Recalled = MappingProxyType({})


class Reply(Struct, frozen=True):
    """A whole answer, ready for the caller."""

    body: bytes
    """OpenAI's `chat.completion` as JSON."""
    usage: Usage
    memories: tuple[Memory, ...] = ()
    """What must come back with its tool calls."""

    def __repr__(self) -> str:
        """Not what was answered."""
        return f"Reply({len(self.body)} bytes, {self.usage!r})"


class Reader(Protocol):
    """Follows one streamed answer.

    Fed the upstream's bytes as they come, it returns what the caller may have of them: whole events
    only, so that a cut never leaves half an event behind. After `failure` or `ended` it returns
    nothing more.
    """

    @property
    def content(self) -> bool:
        """Whether anything the caller can see (text, tool call, refusal, reasoning) has been read."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the answer is whole and its `[DONE]` has been returned."""
        ...

    @property
    def failure(self) -> Signal | None:
        """An in-band error, garbage, or an end that came too early."""
        ...

    @property
    def usage(self) -> Usage:
        """The upstream's own count, or what was observed so far. May be read at any time."""
        ...

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What must come back with the tool calls of an answer that has `ended`."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller out of the next piece of the upstream's body."""
        ...

    def finish(self) -> bytes:
        """The upstream's body has ended cleanly: the last bytes, or `failure` if it ended too early."""
        ...


class Dialect(Protocol):
    """One wire language."""

    def request(
        self, call: Call, target: Target, upstream: Upstream, recalled: Recalled
    ) -> UpstreamRequest | Signal:
        """The request for `target`; a `Signal` (`UNABLE`) if this upstream cannot express the call.

        `call.body` is never changed. Raises `CallerFault` only for what no upstream could accept.
        """
        ...

    def reply(
        self, call: Call, upstream: Upstream, status: int, headers: Mapping[str, str], body: bytes
    ) -> Reply | Signal:
        """A whole answer, judged: the caller's bytes, or why it is not an answer."""
        ...

    def reader(self, call: Call, upstream: Upstream) -> Reader:
        """A reader for one streamed answer."""
        ...

    def opens(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether this head begins a stream of events; otherwise the body goes to `error`."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> Signal:
        """What an answer that is not a success (or not a stream) means."""
        ...
