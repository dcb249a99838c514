"""One connection of a caller: HTTP/1.1 on a bare protocol, one answer after another, in order.

`listeners.py` makes one for each socket. What `incoming.py` cannot parse is refused, in OpenAI's shape and
without an echo, and ends the connection. A caller who leaves is noticed in every phase, because reading
goes on until its answer is out; what is sent behind it waits unparsed, and too much of it ends the
connection.
This file never looks at a path, a key or a body.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import cast

from proxy.errors import CallerFault, Told
from proxy.server.incoming import Incoming, Malformed, Upgraded
from proxy.server.pieces import MUCH_BYTES
from proxy.server.request import Request
from proxy.server.shapes import Answer, head, identified, refusal
from proxy.server.site import Site
from proxy.server.stall import StallWatch

log = logging.getLogger("proxy.connection")

LATER_BYTES = 16 * 1024
"""Kept of what follows a call that is being answered; reading goes on meanwhile, so that a hang-up shows."""
LATER_REQUESTS = 64

BAD_HTTP = Told(
    400, "The request is not well-formed HTTP.", "invalid_request_error", "bad_http", should_retry=False
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection of a caller."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._loop = asyncio.get_running_loop()
        self._incoming = Incoming(site.limits.body_bytes, self._continue, self._begin)
        self._waiting: list[Request] = []
        """Requests whose head is complete; the first is being answered."""
        self._later = bytearray()
        self._task: asyncio.Task[None] | None = None
        """Answers them all, one after the other; there from the first one on."""
        self._turn: asyncio.Future[None] | None = None
        """What it waits for while there is none."""
        self._over = False
        """No further request is taken: it was spoilt, upgraded or closed."""
        self._taker: Callable[[bytes], None] | None = None
        """Who gets what comes behind an upgrade, unparsed."""
        self._spoilt = False
        """What came last was no HTTP, and its sender has not been told yet."""
        self._lingering = False
        """The answer is out, and the rest of what comes is thrown away."""
        self._due = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport
        self.writing_paused = False
        self.lost = False
        """Whether nothing reaches the caller any more."""
        self._held = False
        """Whether nothing is read until what is being answered is done with."""
        self.overrun = False
        """Whether more came behind an upgrade than is kept, so that some of it is missing."""

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return not self._waiting

    # ── from the loop ─────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._site.enter(self)
        self._expect(self._site.limits.header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._site.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        self._taker = None
        self._incoming.forget()
        self._let_go()
        self._hang_up()

    def eof_received(self) -> None:
        # Half a hang-up is one: who sends no more does not wait for an answer. The transport closes now.
        if self._waiting:
            StallWatch(self.transport, self._site.limits.stall_s).start()
        self._hang_up()

    def data_received(self, data: bytes) -> None:
        if self._over or self._waiting:
            self._behind(data)
        else:
            self._feed(data)
            self._next()
        if len(data) >= MUCH_BYTES and self._taker is None and not self._held:
            self.transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Others had their turn."""
        if not self._held:
            self.transport.resume_reading()

    def _behind(self, data: bytes) -> None:
        """What comes while somebody is being answered, or when no further request is taken."""
        if self._taker is not None:
            self._taker(data)
        elif self._lingering or (self._over and self._incoming.arriving is None):
            return
        elif self._wanted:
            self._feed(data)
            self._next()
        elif len(self._later) + len(data) <= LATER_BYTES:
            self._later += data
        elif self._waiting[0].answered:
            # A prompt behind an answer that is out: its sender only waits until we have ended ours.
            self._later += data
            self._held = True
            self.transport.pause_reading()
        else:
            self.abort()

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        self._let_go()

    # ── towards the caller ────────────────────────────────────────────────────────────────────────

    def head(
        self, request: Request, status: int, headers: Mapping[str, str], length: int | None = None
    ) -> bytes:
        """The head of an answer, with what the connection adds to it; `length`: of a body that is known."""
        own = self._site.own()
        if length is not None:
            own = b"%bcontent-length: %d\r\n" % (own, length)
        if not request.keep:
            own += b"connection: close\r\n"
        elif request.version != "1.1":
            own += b"connection: keep-alive\r\n"
        return head(status, headers, own)

    def send(self, request: Request, answer: Answer) -> None:
        """A whole answer. A request whose body nobody read to the end ends its connection."""
        request.keep = request.keep and request.whole
        start = self.head(request, answer.status, answer.headers, len(answer.body))
        request.begun = request.answered = True
        self.transport.write(start if request.method == "HEAD" else start + answer.body)

    async def drained(self) -> None:
        """Wait until the buffer has room again, for as long as the caller takes anything at all."""
        if self.lost:
            raise asyncio.CancelledError
        if not self.writing_paused:
            return
        watch = StallWatch(self.transport, self._site.limits.stall_s)
        watch.start()
        self._room = self._loop.create_future()
        try:
            await self._room
        finally:
            watch.stop()
        if self.lost:
            raise asyncio.CancelledError

    def hand_over(self, taker: Callable[[bytes], None]) -> None:
        """From now on whatever comes is not HTTP but `taker`'s, and so is what came behind the upgrade."""
        self._taker = taker
        early, self._later = self._later, bytearray()
        if early:
            taker(bytes(early))

    def close(self) -> None:
        """End once what was written is out; a caller who takes nothing cannot keep it open for ever."""
        self._over = True
        if not self.transport.is_closing():
            watch = StallWatch(self.transport, self._site.limits.stall_s)
            self.transport.close()
            watch.start()

    def abort(self) -> None:
        """End at once."""
        self._over = True
        self.transport.abort()

    def _let_go(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # ── one request after another ─────────────────────────────────────────────────────────────────

    @property
    def _wanted(self) -> bool:
        """Whether what comes next is read now: the rest of who is being answered, or of whoever will be."""
        if self._incoming.arriving is None:
            return not self._waiting and not self._over
        return len(self._waiting) <= 1

    def _feed(self, data: bytes | bytearray) -> None:
        try:
            self._incoming.feed(data)
        except Malformed:
            self._spoil()
        except Upgraded as upgraded:
            self._over = True
            if upgraded.behind is not None:
                self._taker = self._early
                self._early(upgraded.behind)

    def _begin(self, request: Request) -> None:
        """The head of a request has come."""
        if self._over or len(self._waiting) >= LATER_REQUESTS:
            self.abort()
            raise Malformed
        self._waiting.append(request)

    def _continue(self) -> None:
        self.transport.write(CONTINUE)

    def _early(self, data: bytes) -> None:
        """Of what comes before an upgrade is answered only so much is kept: nothing should come."""
        if len(self._later) + len(data) > LATER_BYTES:
            self.overrun = True
        else:
            self._later += data

    def _spoil(self) -> None:
        """What came is no HTTP: told behind the answers under way, and then it is over."""
        self._over = self._spoilt = True
        arriving, self._incoming.arriving = self._incoming.arriving, None
        if arriving is not None and arriving in self._waiting:
            arriving.keep = self._spoilt = False
            arriving.spoil(CallerFault(BAD_HTTP))

    @property
    def _gone(self) -> bool:
        """Whether nobody who still waits here would get an answer."""
        return self.lost or self.transport.is_closing()

    def _next(self) -> None:
        """Have it answered who is first; where there is nobody, end what is over."""
        if self._waiting:
            self._due = float("inf")  # whoever is here was in time, even if the task's turn comes too late
            if self._turn is not None:
                turn, self._turn = self._turn, None
                turn.set_result(None)
            elif self._task is None and not self._gone:
                self._task = self._loop.create_task(self._serve(), name="a caller's requests")
                self._task.add_done_callback(self._served)
        elif self._over and not self._gone:
            if self._spoilt:
                self._refuse()
            else:
                self.close()

    async def _serve(self) -> None:
        """Answer who comes, one after the other, until nobody can come any more."""
        more = True
        while more:
            if not self._waiting:
                self._turn = self._loop.create_future()
                await self._turn
            if self._gone:
                return
            try:
                await self._site.answer(self, self._waiting[0])
            finally:
                request = self._waiting.pop(0)
                self._held = False
                self.transport.resume_reading()
            more = self._go_on(request)
            del request  # while the next is waited for, nothing of this one is kept

    def _go_on(self, request: Request) -> bool:
        """The first is answered: whether another may follow. What came of it meanwhile is read now."""
        if not request.whole and not self.transport.is_closing():
            self._linger()
            return False
        if not request.keep:
            self.close()
            return False
        self._expect(self._site.limits.idle_s)
        if self._later and self._wanted:
            later, self._later = self._later, bytearray()
            self._feed(later)
        if self._over or self._waiting:
            self._next()
        return bool(self._waiting) or not self._over

    def _served(self, task: asyncio.Task[None]) -> None:
        """Nobody is answered any more, however it ended: it may have ended before it began."""
        self._task = self._turn = None
        self._waiting.clear()
        if (task.cancelled() or task.exception() is not None) and not self.transport.is_closing():
            self.transport.abort()

    def _refuse(self) -> None:
        self._spoilt = False
        request_id = self._site.new_id()
        log.info("request refused unread", extra={"request_id": request_id})
        unread = Request(0, self._continue)
        self.send(unread, refusal(BAD_HTTP, identified(request_id, None)))
        self._linger()

    def _linger(self) -> None:
        """Say no more and throw away what comes for a while, so that its sender can read why."""
        self._over = self._lingering = True
        if self.transport.can_write_eof():
            with suppress(OSError):  # the caller may have reset the connection already
                self.transport.write_eof()
        self._expect(self._site.limits.linger_s)

    def _hang_up(self) -> None:
        """Tell whoever answers that nobody listens any more; once."""
        self._over = True
        task = self._task
        if task is None:
            self._waiting.clear()
            return
        del self._waiting[1:]
        if not task.cancelling():
            task.cancel()

    # ── deadlines: one timer, which may be early ──────────────────────────────────────────────────

    def _expect(self, within_s: float) -> None:
        """Close, unless something else happens within so many seconds."""
        self._due = self._loop.time() + within_s
        if self._timer is None or self._timer.when() > self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() >= self._due:
            self.abort()
        elif self._due != float("inf"):
            self._timer = self._loop.call_at(self._due, self._look)
