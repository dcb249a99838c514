"""What every reader of a streamed answer does alike: events in, and one end, good or bad.

The dialects' readers build on it and say what an event of theirs brings. It must never let anything
through once the answer is whole or has failed.
"""

from abc import ABC, abstractmethod

from proxy.call import Kind, Memory, Phase, Signal
from proxy.wire.sse import Event, Splitter


class Following(ABC):
    """The shared half of a `dialect.Reader`."""

    __slots__ = ("_events", "ended", "failure")

    def __init__(self) -> None:
        self._events = Splitter()
        self.ended = False
        """Whether the answer is whole and its `[DONE]` has been returned."""
        self.failure: Signal | None = None
        """Why the answer is not, and will not be, whole."""

    @property
    @abstractmethod
    def content(self) -> bool:
        """Whether anything the caller can see has been read."""

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What must come back with the tool calls of an answer that has ended: nothing, unless said."""
        return ()

    @abstractmethod
    def _event(self, event: Event) -> bytes:
        """Bytes for the caller out of one event."""

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller out of the next piece of the upstream's body."""
        if self._over():
            return b""
        out: list[bytes] = []
        for event in self._events.feed(data):
            out.append(self._event(event))
            if self.ended or self.failure is not None:
                return b"".join(out)
        if self._events.overflow:
            self._fail(Kind.BAD_ANSWER, "event too long")
        return out[0] if len(out) == 1 else b"".join(out)

    def _over(self) -> bool:
        return self.ended or self.failure is not None

    def _fail(self, kind: Kind, detail: str) -> bytes:
        self.failure = Signal(kind, self._phase(), 200, detail=detail)
        return b""

    def _phase(self) -> Phase:
        return Phase.CONTENT if self.content else Phase.HEADERS
