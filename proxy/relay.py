"""The story of a call, from the parsed request to the settled ledger.

Read this file to know the program. `server/calls.py` hands over a `Call` and the `Caller` it came
from; everything else the story needs is behind a port (`ports.py`) or in a pure room. It decides
nothing: `policy/plan.py` says what to do next, and this file does it.

    match a route → order the targets that can → reserve → [ try a target → hold back → content → relay ]
                                                              ↑ failed before content ┘
    and, however it ends, exactly one exit: settle, tell the observers.

Two commit points: nothing at all reaches the caller (C1, the status line) before the first content
of a living answer (C2), so that any failure before it can be mended in silence. After C2 the stream
belongs to one upstream; if it breaks, the caller gets an error event and never a `[DONE]`, unless its
route has another target go on with exactly what was sent (`wire/sent.py`).
"""

import asyncio
from collections.abc import Awaitable, Iterable
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from proxy.account import Account
from proxy.audience import Audience
from proxy.book import Book, Ending, OpenAttempt
from proxy.call import Call, Kind, Memory, Phase, Signal, UpstreamLost
from proxy.errors import ErrorType, Failure, Told
from proxy.flow import HOLD_MAX, Flow, Later
from proxy.judgement import judge
from proxy.policy.classify import classify
from proxy.policy.patience import PlanRules
from proxy.policy.plan import Plan
from proxy.policy.steps import (
    Answered,
    Broke,
    CalledOff,
    CallerGone,
    Done,
    Event,
    Failed,
    Instruction,
    Order,
    Queue,
    Rely,
    Stop,
    Try,
    Wait,
    Woke,
)
from proxy.ports import Caller, Clock, Dice, Ledger, Recall, UpstreamAnswer, Upstreams
from proxy.race import Race, Result
from proxy.snapshot import Snapshot
from proxy.watch import NEVER, Watch, moment_comes, turn_comes
from proxy.wire.dialect import Reply
from proxy.wire.failure import error_event
from proxy.wire.words import discreet

ERROR_MAX = 64 * 1024
"""Bytes read of an answer that is not a success."""
WHOLE_MAX = 64 * 1024 * 1024
"""Bytes of an answer that is not streamed."""

SHUTDOWN = Told(503, "The proxy is shutting down; the answer is incomplete.", "server_error", "shutdown")


class Desk(Struct, frozen=True):
    """What the story works with; one for the whole program, its snapshot replaced on reload."""

    snapshot: Snapshot
    upstreams: Upstreams
    ledger: Ledger
    recall: Recall
    clock: Clock
    dice: Dice
    audience: Audience = Audience()


async def answer(desk: Desk, caller: Caller, call: Call) -> None:
    """Answer `call`, or raise the `Failure` that its caller must be told.

    Raises only while nothing has been sent; later trouble is told in-band. If the task is cancelled
    (the caller hung up, or the drain deadline passed) the call is settled and the cancellation goes on.
    """
    judged = judge(desk.snapshot.terms, call, desk.recall)
    story = _Story(desk, caller, Book.of(judged, desk.clock.wall_us()))
    ending = Ending(500, "internal_error", ErrorType.INTERNAL)
    try:
        await story.account.open()
        failure = await story.drive()
        ending = Ending.of(failure, begun=story.begun)
    except Failure as refused:
        ending = Ending.of(refused, begun=False)
        raise
    except asyncio.CancelledError:
        ending = story.interrupted()
        raise
    finally:
        story.settle(ending)
    if failure is not None and not story.begun:
        raise failure


class _Story:
    """One call on its way. Lives as long as the call; all its state is here and in the book."""

    def __init__(self, desk: Desk, caller: Caller, book: Book) -> None:
        self._desk = desk
        self._caller = caller
        self._book = book
        self._call = book.call
        self._mono = desk.clock.mono
        self._began = self._mono()
        rules = PlanRules.of(book.call, book.route, self._began)
        self._deadline = rules.deadline or NEVER
        self._hedge_s = book.route.hedge_s if book.call.stream else None
        self._health = desk.snapshot.health
        selection = book.selection
        self._plan = Plan(selection.candidates, self._health, rules, desk.dice, selection.passed_over)
        self.account = Account(book, desk.ledger, desk.clock, desk.audience)
        self._open: dict[int, OpenAttempt] = {}
        """Attempts under way, by number; two only in a race."""
        self._race: Race | None = None
        self.begun = False
        """Whether an answer has been chosen: its content is the caller's, who has it or gets it next."""
        self._shown = False
        """Whether the caller has the status line (C1)."""
        self._concluded = False
        """Whether the last word to the caller is on its way: nothing may be said after it."""

    # ── the one exit ──────────────────────────────────────────────────────────────────────────────

    def settle(self, ending: Ending) -> None:
        """Note what was cut short, hand back what the plan holds, close the account. Awaits nothing."""
        for attempt in self._open.values():  # cut short: note how far it had got
            self._note(attempt, "outrun" if attempt.outrun else ending.result)
        if self._plan.holds:
            self._plan.on(CallerGone(), self._mono())
        if self._health.news:
            self._announce()
        self.account.close(ending)

    def interrupted(self) -> Ending:
        """The task was cancelled: because the caller left, or else the caller is told why."""
        if self._caller.gone:
            return Ending(499, "caller_gone", ErrorType.CALLER_GONE)
        if not self._shown:
            return Ending(503, "shutdown", ErrorType.SHUTDOWN)
        if not self._concluded:
            self._caller.write(error_event(SHUTDOWN))
        self._caller.abort()
        return Ending(200, "shutdown", ErrorType.SHUTDOWN)

    # ── the plan, carried out ─────────────────────────────────────────────────────────────────────

    async def drive(self) -> Failure | None:
        """Do what the plan says until the call is answered (None) or has failed."""
        step = self._plan.start(self._mono())
        while True:
            if self._health.news:
                self._announce()
            match step:
                case Done():
                    return None
                case Try() if self._hedge_s is not None:
                    step = await self._hedged(step, self._hedge_s)
                    continue
                case Order():
                    event = await self._attempt(step)
                case Wait(until):
                    await moment_comes(until)
                    event = Woke()
                case Queue(turn, until):
                    await turn_comes(turn, until)
                    event = Woke()
                case Stop(failure):
                    return await self._gave_up(failure)
                case Rely():
                    raise RuntimeError("nobody is left to rely on")
            step = self._plan.on(event, self._mono())

    async def _gave_up(self, failure: Failure) -> Failure:
        """A caller who has the beginning of a stream is told in it; `answer` raises it for any other."""
        if self.begun:
            self._concluded = True
            if (pending := self._caller.write(error_event(failure.told))) is not None:
                await pending
            await self._caller.finish()
        return failure

    def _announce(self) -> None:
        for upstream, state in self._health.changes():
            for tell in self._desk.audience.breaker:
                tell(upstream, state)

    # ── one attempt ───────────────────────────────────────────────────────────────────────────────

    async def _attempt(self, step: Order) -> Event:
        """Try one target: hold its limits, speak its dialect, relay what it says before its deadlines."""
        attempt = self._book.attempt(step, self._desk.recall)
        if not isinstance(attempt, OpenAttempt):
            return Failed(attempt)
        skipped = await self.account.add(step.candidate)
        if skipped is not None:
            return skipped
        self._open[step.number] = attempt
        attempt.began = self._mono()
        times, stream = attempt.candidate.timeouts, self._call.stream
        attempt.last = min(attempt.began + times.total_s, self._deadline)
        first_s = times.first_token_s if stream else times.whole_s
        tell = self._stream if stream else self._whole
        try:
            with Watch(min(attempt.began + first_s, attempt.patience, attempt.last)) as watch:
                async with self._desk.upstreams.send(attempt.candidate.upstream, attempt.request) as reply:
                    attempt.status, attempt.phase = reply.status, Phase.HEADERS
                    signal = await tell(attempt, reply, watch)
        except UpstreamLost as lost:
            signal = lost.signal if attempt.first is None else replace(lost.signal, phase=Phase.CONTENT)
        except TimeoutError:
            signal = Signal(attempt.late(self._mono()), attempt.phase, attempt.status, detail="too slow")
        del self._open[step.number]
        if signal is not None:
            return self._failed(attempt, signal)
        self._note(attempt, "ok")
        return Answered()

    def _failed(self, attempt: OpenAttempt, signal: Signal) -> Event:
        """Note an attempt that came to nothing, or broke in the caller's hands."""
        if attempt.first is None and signal.phase is Phase.CONTENT:
            # The caller saw none of that content, so the call is still free to go elsewhere.
            signal = replace(signal, phase=Phase.HEADERS)
        attempt.signal = signal = discreet(signal, attempt.candidate.upstream)
        self._note(attempt, classify(signal).cls)
        if attempt.first is None:
            return Failed(signal, signal.kind is Kind.OFF_SCHEMA and not self._book.covers_another)
        return Broke(signal, self._book.mendable)

    async def _hedged(self, first: Order, after_s: float) -> Instruction:
        """Try one target, and a second one beside it if it is late; the first content decides."""
        self._race = Race(self._attempt, self._second, self._ended)
        try:
            return await self._race.run(first, after_s)
        finally:
            self._race = None

    def _second(self) -> Order | None:
        """Who is asked beside the first, once that has been sent what it was to be sent."""
        if self.begun or not self._open or not self._book.covers_another:
            return None
        return self._plan.hedge(self._mono())

    def _ended(self, result: Result, number: int) -> Instruction:
        if isinstance(result, Failure):
            return Stop(result)
        if isinstance(result, CalledOff) and (attempt := self._open.pop(number, None)) is not None:
            self._note(attempt, "outrun")
        return self._plan.on(result, self._mono(), number)

    async def _whole(self, attempt: OpenAttempt, reply: UpstreamAnswer, watch: Watch) -> Signal | None:
        """An answer that is not streamed: judged as a whole before any of it goes out."""
        if not 200 <= reply.status < 300:
            return attempt.dialect.error(reply.status, reply.headers, await reply.start(ERROR_MAX))
        body = await reply.whole(WHOLE_MAX)
        judged = attempt.dialect.reply(
            attempt.call, attempt.candidate.upstream, reply.status, reply.headers, body
        )
        if not isinstance(judged, Reply):
            return judged
        attempt.usage = judged.usage
        schema = self._book.schema
        if schema is not None and (fault := schema.fault(judged.body)) is not None:
            return Signal(Kind.OFF_SCHEMA, attempt.phase, reply.status, detail=fault)
        if judged.memories:
            self._remember(attempt, judged.memories)
        self._concluded = True
        watch.move(NEVER)  # from here on only the caller can be slow
        await self._begin(attempt, "application/json", judged.body)
        await self._caller.finish()
        return None

    async def _stream(self, attempt: OpenAttempt, reply: UpstreamAnswer, watch: Watch) -> Signal | None:
        """An answer event by event: held back until content, relayed as it comes from then on."""
        if not attempt.dialect.opens(reply.status, reply.headers):
            return attempt.dialect.error(reply.status, reply.headers, await reply.start(ERROR_MAX))
        reader = attempt.reader = self._book.reader(attempt)
        flow = Flow(attempt, reader, watch, self._piece)
        await reply.pour(flow)
        if flow.choked:
            return Signal(Kind.BAD_ANSWER, attempt.phase, reply.status, detail="no content")
        if not flow.full:
            await flow.end()
        if reader.failure is None:
            watch.move(NEVER)
            await self._caller.finish()
        return reader.failure

    def _piece(self, flow: Flow, out: bytes) -> Awaitable[None] | None:
        """What a reader made of a piece. After C2 it goes out here and now, whatever task this is."""
        attempt, watch = flow.attempt, flow.watch
        if flow.reader.ended:
            self._remember(attempt, flow.reader.memories)
            self._concluded = True
        if not self.begun:
            return self._hold_back(flow, out)
        if not out:
            if self._book.sent is not None and self._book.sent.skipping:
                self._rest(flow, self._mono())
            return None
        if attempt.first is None:
            first = self._spoke(attempt)
            watch.idle(attempt.candidate.timeouts.idle_s, first, attempt.last)
        pending = self._caller.write(out)
        now = self._mono()
        if pending is not None:
            watch.move(NEVER)  # a slow caller stops the clock of the upstream
            return Later(partial(self._until_room, flow, pending, now))
        watch.stirred = now
        attempt.metronome.passed(now)
        if now >= self.account.note_due:
            self.account.note(attempt, now)
        return None

    def _hold_back(self, flow: Flow, out: bytes) -> Awaitable[None] | None:
        """Before C2 nothing goes out, until there is content."""
        attempt, reader = flow.attempt, flow.reader
        attempt.held += out
        if reader.failure is not None or not (reader.content or reader.ended):
            flow.choked = len(attempt.held) > HOLD_MAX
            return None
        flow.watch.move(NEVER)
        return Later(partial(self._let_go, flow))

    async def _let_go(self, flow: Flow) -> None:
        """There is content: what was held back goes out."""
        attempt, since = flow.attempt, self._mono()
        held, attempt.held = attempt.held, b""
        await self._begin(attempt, "text/event-stream; charset=utf-8", held)
        self._rest(flow, since)

    # ── towards the caller ────────────────────────────────────────────────────────────────────────

    async def _begin(self, attempt: OpenAttempt, content_type: str, data: bytes) -> None:
        """C1 and C2 at once: from here on this answer is the only one."""
        self.begun = True
        if self._race is not None:
            self._race.won()
            for each in self._open.values():
                each.outrun = each is not attempt
        self._book.sent = attempt.sent
        first = self._spoke(attempt)
        self._book.answered = attempt.candidate
        self._book.first_ms = round((first - self._began) * 1000)
        headers = attempt.headers(content_type) | self._book.standing()
        shown = first
        if self.account.durable is not None:
            await self.account.durable  # nothing of a call is shown that a crash could make unheard of
            shown = self._mono()
        self._shown = True
        self._book.added_s = shown - self._began - (first - attempt.began)
        await self._caller.start(200, headers)
        if (pending := self._caller.write(data)) is not None:
            await pending

    def _spoke(self, attempt: OpenAttempt) -> float:
        """The first content of this attempt is for the caller: from now on it cannot be taken back."""
        attempt.phase = Phase.CONTENT
        attempt.first = now = self._mono()
        self._plan.began(now, attempt.number)
        return now

    async def _until_room(self, flow: Flow, pending: Awaitable[None], since: float) -> None:
        await pending
        self._rest(flow, since)

    def _rest(self, flow: Flow, since: float) -> None:
        """The caller, waited for since then, has what there was: its upstream's idle time starts anew."""
        attempt, now = flow.attempt, self._mono()
        attempt.wait(now - since, self._deadline)
        flow.watch.idle(attempt.candidate.timeouts.idle_s, now, attempt.last)
        attempt.metronome.passed(now)
        if now >= self.account.note_due:
            self.account.note(attempt, now)

    # ── into memory and the book ────────────────────────────────────────────────────────────────────────

    def _remember(self, attempt: OpenAttempt, memories: Iterable[Memory]) -> None:
        """Keep what must come back on the next turn; before the caller has the end, and so can ask again."""
        for memory in memories:
            self._desk.recall.keep(self._call.identity, attempt.candidate.origin, memory)

    def _note(self, attempt: OpenAttempt, result: str) -> None:
        """Enter an attempt that has ended, however it did."""
        now = self._mono()
        entry = attempt.close(result, self._began, now)
        self._book.tried(attempt, entry, now)
        for tell in self._desk.audience.attempted:
            tell(entry)
