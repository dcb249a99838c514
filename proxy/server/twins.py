"""Calls that are one call: the same `idempotency-key`, the same question, the same tenant.

`calls.py` comes here with every call that carries a key. The first has the story told, in a task of its
own, to a `Replay`; twins that come while it is told listen to it from the start, and later ones get what
was kept of it. The story is cancelled only when the last of them leaves. It must never have a call made
whose key is known to have been used, nor hold up one twin for another.

    key unknown  → the story is told, to whoever asks with the same key and question
    being told   → listen from the start; 409 if the start is not kept any more
    answered     → the answer from memory, `x-fallthrough-replayed: true`; 409 if it is not kept any more
    failed       → forgotten if nothing can have been spent, else 409
    another question under the same key → 422
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from proxy.call import Call, Identity
from proxy.errors import Failure
from proxy.ports import Caller, Clock
from proxy.question import Question, conflict, reused
from proxy.server.bills import Bills
from proxy.server.kept import Bounds, Kept
from proxy.server.replay import End, FellBehind, Reader, Replay

log = logging.getLogger("proxy.twins")

REPLAYED = "x-fallthrough-replayed"
OF_THAT_CALL = ("x-request-id", "x-ratelimit-")
"""Headers that are true of the call that was made, and not of a later twin; by their beginning."""

Story = Callable[[Caller, Call], Awaitable[None]]


class Way(Caller, Protocol):
    """The way back to one twin."""

    @property
    def begun(self) -> bool:
        """Whether the twin has been sent anything."""
        ...


class _Shared(Struct):
    """A call that is being made, for whoever asks."""

    question: Question
    call_id: str
    identity: Identity
    replay: Replay
    task: asyncio.Task[None]
    keep: bool = True
    """False once the end person was erased."""

    @property
    def over(self) -> bool:
        """Whether it is only being ended: too late to listen, too early to know what it came to."""
        return self.replay.end is not None or self.replay.gone

    async def stop(self) -> None:
        """Have it end, and wait until it has; what interrupts the waiting interrupts the settling, too.

        One that has been told to the end is not disturbed: it ends by itself, and its answer is to be kept.
        """
        if self.replay.end is None and not self.task.cancelling():
            self.task.cancel()
        while not self.task.done():
            try:
                await asyncio.wait((self.task,))
            except asyncio.CancelledError:
                self.task.cancel()


class Twins:
    """All calls with a key, under way or lately ended."""

    def __init__(self, clock: Clock, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._shared: dict[bytes, _Shared] = {}
        self.kept = Kept(clock, self._bounds)
        self.bills = Bills()
        """To be put among the observers of the story."""
        self.tidy = self.kept.expire
        """Lets go of what is too old; every call does."""

    async def answer(self, story: Story, call: Call, question: Question, way: Way) -> None:
        """Answer `call` over `way`: by `story`, together with a twin, or from memory. Raises `Failure`."""
        shared = self._shared.get(question.name)
        while shared is not None and shared.over:
            await asyncio.wait((shared.task,))
            shared = self._shared.get(question.name)
        if shared is None:
            used = self.kept.find(question.name)
            if used is not None:
                reader = used.answer(question).attend()
                await _listen(reader, way, None, stream=call.stream)
                return
            shared = self._begin(story, call, question)
        elif shared.question != question:
            raise reused()
        elif not shared.replay.from_start:
            raise conflict()
        await _listen(shared.replay.attend(), way, shared, stream=call.stream)

    def forget(self, tenant: str, user: str) -> None:
        """Give no answer to an end person, known by pseudonym, a second time."""
        self.kept.forget(tenant, user)
        for shared in self._shared.values():
            if (shared.identity.tenant, shared.identity.user) == (tenant, user):
                shared.keep = False

    def forget_all(self) -> None:
        """Give no answer, whosever it is, a second time."""
        self.kept.forget_all()
        for shared in self._shared.values():
            shared.keep = False

    def _begin(self, story: Story, call: Call, question: Question) -> _Shared:
        replay = Replay(self.kept, self._bounds.answer_bytes, stream=call.stream)
        task = asyncio.get_running_loop().create_task(_told(story, replay, call), name="a shared call")
        shared = _Shared(question, call.id, call.identity, replay, task)
        self._shared[question.name] = shared
        self.bills.watch(call.id)
        task.add_done_callback(lambda task: self._ended(shared, task))
        return shared

    def _ended(self, shared: _Shared, task: asyncio.Task[None]) -> None:
        """The story has been told: keep the answer, or that there was a call, or forget it."""
        del self._shared[shared.question.name]
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Failure):
            log.error("a shared call failed", exc_info=error, extra={"request_id": shared.call_id})
        replay, bill = shared.replay, self.bills.take(shared.call_id)
        replay.close(End.CUT, error)
        if bill.answered and shared.keep and replay.end is End.WHOLE:
            self.kept.keep(shared.question, shared.identity, replay)
            return
        replay.release()
        if bill.spent:
            self.kept.mark(shared.question)


async def _told(story: Story, replay: Replay, call: Call) -> None:
    await story(replay, call)
    if replay.end is None:
        raise RuntimeError("the story ended without ending its answer")


async def _listen(reader: Reader, way: Way, shared: _Shared | None, *, stream: bool) -> None:
    """Pass on to one twin what is told, to the end of it; `shared` is who tells, None if that is over.

    The last one to leave ends the call. One that is cut by a drain ends it for all, since all are cut.
    """
    try:
        await (_pass_stream if stream else _pass_whole)(reader, way, replayed=shared is None)
        if shared is not None and reader.replay.end is not None:
            # Like any other connection, this one goes on when its call has ended; then its answer is kept.
            await asyncio.wait((shared.task,))
    except FellBehind:
        way.abort()
    except asyncio.CancelledError:
        if not way.gone:
            if shared is not None:
                await shared.stop()
            _last_words(reader, way)
        raise
    finally:
        reader.leave()
        if shared is not None and shared.replay.gone:
            await shared.stop()


async def _pass_stream(reader: Reader, way: Way, *, replayed: bool) -> None:
    headers = await reader.begun()
    await way.start(reader.replay.status, _headers(headers, replayed=replayed))
    await _pass(reader, way)


async def _pass_whole(reader: Reader, way: Way, *, replayed: bool) -> None:
    """A whole answer begins when all of it is there, so that its length can be told."""
    headers = await reader.begun()
    await reader.whole()
    length = {"content-length": str(reader.replay.size)}
    await way.start(reader.replay.status, _headers(headers, replayed=replayed) | length)
    await _pass(reader, way)


async def _pass(reader: Reader, way: Way) -> None:
    while data := await reader.next():
        pending = way.write(data)
        if pending is not None:
            await pending
    if reader.replay.end is End.WHOLE:
        await way.finish()
    else:
        way.abort()


def _last_words(reader: Reader, way: Way) -> None:
    """What a drain says to a twin whose answer has begun: the rest, as far as there is room, and the end."""
    if not way.begun:
        return
    try:
        while (data := reader.ready()) and way.write(data) is None:
            pass
    except FellBehind:
        pass
    way.abort()


def _headers(headers: Mapping[str, str], *, replayed: bool) -> dict[str, str]:
    """The headers of the answer, as they are true for one twin."""
    if replayed:
        kept = {name: value for name, value in headers.items() if not name.startswith(OF_THAT_CALL)}
        return {**kept, REPLAYED: "true"}
    return {name: value for name, value in headers.items() if name != "x-request-id"}
