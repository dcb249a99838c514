"""One answer of an upstream as it arrives: the `UpstreamAnswer` port.

`connection.py` fills it from the network, the story reads it. It knows no HTTP: only whether the head
has come, the pieces of the body that nobody has taken yet, and how it ended. Much unread holds the
upstream back; leaving before the end closes the connection, for nobody knows how much was to come.
"""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from proxy.call import Kind, Phase, Signal, UpstreamLost
from proxy.ports import Sink
from proxy.upstream.head import Head

BUFFER_BYTES = 64 * 1024
"""Read ahead for one answer; beyond it the upstream waits until the caller has taken some."""


class Line(Protocol):
    """What an answer asks of the connection that it comes over."""

    def hold(self) -> None:
        """Read no more for now."""
        ...

    def go_on(self) -> None:
        """Read again."""
        ...

    def part(self, *, whole: bool) -> None:
        """The reader has left; `whole`: after the last byte."""
        ...


class Answer:
    """The `UpstreamAnswer` port over one connection."""

    __slots__ = (
        "_held",
        "_line",
        "_loop",
        "_lost",
        "_pieces",
        "_sink",
        "_unread",
        "_waiter",
        "ended",
        "headers",
        "status",
    )

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._line = line
        self._loop = loop
        self._pieces: list[bytes] = []
        self._unread = 0
        self._held = False
        self._lost: Signal | None = None
        self._sink: Sink | None = None
        """Takes what comes as it comes, while its story sleeps."""
        self._waiter: asyncio.Future[Awaitable[None] | None] | None = None
        self.status = 0
        """0 until the head has come."""
        self.ended = False
        """Whether the body is whole."""
        self.headers: Head
        """There with the status."""

    @property
    def unread(self) -> int:
        """Bytes that came and were not taken."""
        return self._unread

    # ── filled by the connection ──────────────────────────────────────────────────────────────────

    def begin(self, status: int, headers: Head) -> None:
        """The head has come."""
        self.status, self.headers = status, headers

    def lose(self, signal: Signal) -> None:
        """It will never be whole."""
        if not self.ended and self._lost is None:
            self._lost = signal

    def came(self, piece: bytes) -> None:
        """A piece of the body has come (empty: none), or something of the above has happened.

        A sink gets it here and now; who pours learns only what it must wait for or bear.
        """
        waiter, sink = self._waiter, self._sink
        if waiter is not None and waiter.done():
            waiter = None
        pending: Awaitable[None] | None = None
        if waiter is None or sink is None:
            if piece:
                self._pieces.append(piece)
                self._unread += len(piece)
                if self._unread > BUFFER_BYTES and not self._held:
                    self._held = True
                    self._line.hold()
            if waiter is None:
                return
        else:
            try:
                pending = sink.take(piece) if piece else None
            except asyncio.CancelledError:
                waiter.cancel()
                return
            except Exception as error:  # noqa: BLE001 - handed to whoever waits: it is the story's defect, not the connection's
                waiter.set_exception(error)
                return
            if pending is None and not (sink.full or self.ended or self._lost is not None):
                return
        self._waiter = None
        if not waiter.done():
            waiter.set_result(pending)

    # ── read by the story ─────────────────────────────────────────────────────────────────────────

    async def head(self) -> Signal | None:
        """Wait for the head; or how the connection was lost before one came."""
        try:
            while not self.status and self._lost is None:
                await self._news()
        except asyncio.CancelledError:
            self.leave()
            raise
        return None if self.status else self._lost

    async def whole(self, limit: int) -> bytes:
        body = self._take() if self.ended and self._unread <= limit else await self._read(limit + 1)
        if len(body) > limit:
            raise UpstreamLost(Signal(Kind.BAD_ANSWER, Phase.HEADERS, self.status, detail="answer too large"))
        return body

    async def start(self, limit: int) -> bytes:
        return (await self._read(limit))[:limit]

    async def pour(self, sink: Sink) -> None:
        try:
            while not sink.full:
                if self._pieces:
                    pending = sink.take(self._take())
                elif self._lost is not None:
                    raise UpstreamLost(self._lost)
                elif self.ended:
                    return
                else:
                    self._sink = sink
                    pending = await self._news()
                    self._sink = None
                if pending is not None:
                    await pending
        finally:
            self._sink = None

    def leave(self) -> None:
        """The reader goes: at the end back to the pool, before it the connection is closed at once."""
        self._line.part(whole=self.ended)

    async def _read(self, enough: int) -> bytes:
        taken: list[bytes] = []
        size = 0
        while size < enough:
            if self._pieces:
                piece = self._take()
                taken.append(piece)
                size += len(piece)
            elif self._lost is not None:
                raise UpstreamLost(self._lost)
            elif self.ended:
                break
            else:
                await self._news()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _take(self) -> bytes:
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._unread = 0
        if self._held:
            self._held = False
            self._line.go_on()
        return taken

    def _news(self) -> asyncio.Future[Awaitable[None] | None]:
        """Done when there is more; in the end perhaps with what a sink that got more must be waited for."""
        waiter = self._waiter = self._loop.create_future()
        return waiter
