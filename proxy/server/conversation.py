"""`GET /v1/chat/stream`: calls over a WebSocket, one after another.

The door hands over whoever asks for one and holds a key. Each text from the caller is a request, answered
by frames of which the last is a `complete` or an `error`, or a `stop`, which hangs up on the call under
way; `docs/websocket.md` has them all. Every call is made as one over HTTP is (`calls.py`): the key is
looked at anew, the gate is passed, the same story is told. It must never let one caller's call outlive
the connection, and keeps at most one request waiting behind the one that is being answered.
"""

import asyncio
import logging

from msgspec import Struct

from proxy.errors import Failure, Told, bad_request, our_fault, unavailable
from proxy.question import HEADER as ONCE
from proxy.server.calls import ChatCompletions
from proxy.server.channel import Channel
from proxy.server.framed import Framed
from proxy.server.frames import GOING_AWAY, POLICY
from proxy.server.guard import Guard
from proxy.server.spoken import is_stop, understood
from proxy.server.upgrade import accepted, demand
from proxy.server.visit import Service, Visit

log = logging.getLogger("proxy.conversation")

LEFT_FOR_OTHERS = 3
"""A tenant has at most so many times the WebSockets that are left: one alone gets three in four of all."""

STOPPED = Told(499, "The call was stopped.", "invalid_request_error", "stopped", should_retry=False)


class Conversations:
    """The handler of WebSockets."""

    def __init__(self, service: Service, calls: ChatCompletions, guard: Guard) -> None:
        self._service = service
        self._calls = calls
        self._guard = guard
        self._open: dict[str, int] = {}
        """By tenant. They are held for long and cost nothing, so that nobody may have nearly all."""

    async def __call__(self, visit: Visit) -> None:
        service = self._service
        demand(visit.request, service.origins)
        if visit.line.overrun:  # RFC 6455, 4.1: nothing is sent before the handshake is answered
            message = "Wait for the answer to the handshake before sending so much."
            raise bad_request(message, code="bad_request_head")
        if ONCE in visit.request.headers:
            raise bad_request(f"Say {ONCE} in the frame of the call that it is for.", code="bad_header")
        service.gate.demand_open()
        tenant = visit.identity.tenant
        own, left = self._open.get(tenant, 0), service.limits.sockets - sum(self._open.values())
        if own >= LEFT_FOR_OTHERS * left:
            raise unavailable("The proxy has too many WebSockets just now.", "overloaded", retry_after_s=1.0)
        visit.request.begun = visit.request.answered = True
        self._open[tenant] = own + 1
        try:
            await _Conversation(service, self._calls, self._guard, visit).run()
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]


class _Asked(Struct):
    """A request that is being answered, or waits for that."""

    id: str
    text: bytes
    way: Framed
    task: asyncio.Task[None] | None = None

    def hang_up(self) -> None:
        """Its caller does not want the answer any more."""
        self.way.left = True
        if self.task is not None and not self.task.cancelling():
            self.task.cancel()


class _Conversation:
    """One WebSocket and its calls. Lives as long as the connection."""

    def __init__(self, service: Service, calls: ChatCompletions, guard: Guard, visit: Visit) -> None:
        self._service = service
        self._calls = calls
        self._guard = guard
        self._visit = visit
        self._channel = Channel(visit.line, service.limits, self)
        self._now: _Asked | None = None
        self._next: _Asked | None = None

    async def run(self) -> None:
        """Be there until the connection is over, and every call with it."""
        visit, gate = self._visit, self._service.gate
        gate.tell(self._drain)
        try:
            await self._channel.serve(accepted(visit.request, visit.id, visit.echo))
        finally:
            gate.untell(self._drain)
            if self._now is not None and self._now.task is not None:
                await asyncio.wait((self._now.task,))

    # ── from the channel ──────────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        """Whether a call is being answered."""
        return self._now is not None

    def heard(self, text: bytes) -> None:
        """A text came: a `stop`, or a request, which waits if there is one already."""
        if is_stop(text):
            latest = self._next or self._now
            if latest is not None and not latest.way.ended:
                latest.hang_up()
            return
        request_id = "req_" + self._service.dice.token()
        asked = _Asked(request_id, text, Framed(self._channel, request_id))
        if self._now is None:
            self._answer(asked)
        elif self._next is None:
            self._next = asked
        else:
            self._channel.close(POLICY, "one request may wait behind the one that is being answered")

    def ended(self) -> None:
        """Nobody is there any more."""
        self._next = None
        if self._now is not None:
            self._now.hang_up()

    def _drain(self) -> None:
        """The proxy is shutting down: the running call may end, and that is all."""
        if self._now is None:
            self._channel.close(GOING_AWAY, "the proxy is shutting down")

    # ── one call after another ────────────────────────────────────────────────────────────────────

    def _answer(self, asked: _Asked) -> None:
        self._now = asked
        if asked.way.left:
            self._over(asked)
            return
        asked.task = asyncio.get_running_loop().create_task(self._call(asked), name="a call over a WebSocket")
        asked.task.add_done_callback(lambda _: self._over(asked))

    async def _call(self, asked: _Asked) -> None:
        await self._channel.drained()  # who does not read the last answer gets no other
        visit, way = self._visit, asked.way
        spoken = await understood(asked.text, visit.request.headers, self._service.limits)
        way.shows_usage = spoken.shows_usage
        identity = self._guard(visit.request.headers)  # the key may have been revoked since
        call = Visit(spoken.request, visit.line, asked.id, None, identity)
        await self._calls.serve(call, spoken.read, lambda *_: way)

    def _over(self, asked: _Asked) -> None:
        """A call is done with, however it ended: its last word, and then the next one's turn."""
        told, asked.task = self._told(asked), None  # or the task keeps what ended it, which keeps this
        if told is not None:
            asked.way.fail(told)
        self._now = None
        following, self._next = self._next, None
        if self._service.gate.draining:
            self._channel.close(GOING_AWAY, "the proxy is shutting down")
        elif following is not None and self._channel.open:
            self._answer(following)

    def _told(self, asked: _Asked) -> Told | None:
        """Why a call has no whole answer; None: it has, or it was said."""
        task = asked.task
        if asked.way.left or task is None:
            return STOPPED
        if task.cancelled():
            return unavailable("The proxy shut down before the answer was there.", "draining").told
        error = task.exception()
        if error is None or isinstance(error, Failure):
            return None if error is None else error.told
        log.error("request failed", exc_info=error, extra={"request_id": asked.id})
        return our_fault(asked.id).told
