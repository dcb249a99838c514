"""The book of one call: what is held for it, what was tried, what it came to.

`relay.py` keeps one for each call and reads from it the reservation to make and the one settlement
that ends it. The book only adds up; it awaits nothing and decides nothing about routing.
"""

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.call import Attempt, Billed, Call, Kind, Outcome, Passed, Phase, Signal, UpstreamRequest
from proxy.errors import ErrorType, Failure, error_type
from proxy.holds import Balance, Charge, Claim, Hold, Progress, Settlement
from proxy.judgement import Judgement
from proxy.pauses import Metronome
from proxy.policy import quota, ratelimit
from proxy.policy.classify import classify
from proxy.policy.degrade import degrade
from proxy.policy.estimate import Estimate
from proxy.policy.meters import Asker, Meters
from proxy.policy.selection import Candidate, Selection
from proxy.policy.steps import Continue, Order, Restart
from proxy.ports import Recall
from proxy.table import OnMidstream, Route, Target
from proxy.usage import BYTES_PER_TOKEN, FREE, NOTHING, Usage
from proxy.wire import DIALECTS
from proxy.wire.dialect import Dialect, Reader
from proxy.wire.headers import named
from proxy.wire.resuming import resumed
from proxy.wire.schema import Schema
from proxy.wire.sent import Followed, Sent


class Ending(Struct, frozen=True):
    """How a call ended."""

    status: int
    """HTTP status as the caller saw it, or would have."""
    result: str
    """`ok`, or the word for what went wrong."""
    error: ErrorType | None = None

    @classmethod
    def of(cls, failure: Failure | None, *, begun: bool) -> "Ending":
        """How a call ends that came to `failure`, or to none."""
        if failure is None:
            return cls(200, "ok")
        told = failure.told
        if begun:
            return cls(200, "broken", ErrorType.UPSTREAM_BROKEN)
        return cls(told.status, told.code or told.type, error_type(failure))


class OpenAttempt(Struct):
    """One try in progress."""

    number: int
    """Among the attempts of its call."""
    candidate: Candidate
    dialect: Dialect
    call: Call
    """As this target gets it."""
    dropped: tuple[str, ...]
    """Members that it does not get, or gets weakened."""
    request: UpstreamRequest
    passed: tuple[Passed, ...] = ()
    """Who was passed over for it."""
    began: float = 0.0
    """Monotonic seconds, like `first` and `last`."""
    patience: float = float("inf")
    """Content must have come by then, or its caller's patience with it is over."""
    last: float = float("inf")
    """When the whole attempt must be over."""
    phase: Phase = Phase.SENT
    status: int | None = None
    first: float | None = None
    """When content was first sent to the caller; None: it has nothing of this attempt."""
    metronome: Metronome = field(default_factory=Metronome)
    waited: float = 0.0
    """Seconds for which its caller was waited for, who reads slowly."""
    reader: Reader | None = None
    held: bytes = b""
    """Of a stream that has not said anything yet: kept back until it does."""
    sent: Sent | None = None
    """What the caller has, or will have if this attempt wins, where that is kept."""
    outrun: bool = False
    """Whether another has been chosen meanwhile."""
    usage: Usage | None = None
    """Of a whole answer."""
    signal: Signal | None = None
    """What went wrong; None while nothing has, and when the caller left in the middle."""

    def __repr__(self) -> str:
        """Nothing of what was asked or answered."""
        return f"OpenAttempt({self.candidate.target!r}, {self.phase!r}, {self.status})"

    @property
    def losses(self) -> tuple[str, ...]:
        """All that this target was not asked for, though the caller asked: ours first, then its dialect's."""
        return tuple(dict.fromkeys((*self.dropped, *self.request.degraded)))

    def wait(self, seconds: float, deadline: float) -> None:
        """Its caller was waited for: that is no time of the upstream's, who may have as much again in all."""
        self.waited += seconds
        self.metronome.waited(seconds)
        total_s = self.candidate.timeouts.total_s
        self.last = min(self.began + total_s + min(self.waited, total_s), deadline)

    def late(self, now: float) -> Kind:
        """What it means that a deadline has passed: a caller who reads slowly is no fault of the upstream."""
        held_up = now >= self.last and self.waited > self.candidate.timeouts.total_s
        return Kind.HELD_UP if held_up else Kind.TIMEOUT

    def headers(self, content_type: str) -> dict[str, str]:
        """What the answer says of itself."""
        target = self.candidate.target
        headers = {
            "content-type": content_type,
            "x-request-id": self.call.id,
            "x-fallthrough-upstream": target.upstream,
            "x-fallthrough-model": target.model,
            "x-fallthrough-attempts": str(self.number),
        }
        if self.dropped or self.request.degraded:
            headers["x-fallthrough-degraded"] = named(self.losses)
        return headers

    def close(self, result: str, call_began: float, now: float) -> Attempt:
        """The record of this try, which has ended with `result`."""
        first_ms = None if self.first is None else round((self.first - call_began) * 1000)
        return Attempt(
            upstream=self.candidate.target.upstream,
            model=self.candidate.target.model,
            result=result,
            status=self.status if self.status is not None or self.signal is None else self.signal.status,
            phase=self.signal.phase if self.signal else self.phase,
            started_ms=round((self.began - call_began) * 1000),
            first_ms=first_ms,
            ended_ms=round((now - call_began) * 1000),
            billed=self._billed() if self.first is None else Billed.YES,
            usage=self._observed() if self.usage is None else self.usage,
            detail=self.signal.detail if self.signal else "",
            passed=self.passed,
            pauses=self.metronome.told() if self.call.stream else None,
        )

    def _billed(self) -> Billed:
        """Whether the upstream will charge for what the caller has nothing of, as far as can be known."""
        return Billed.UNKNOWN if self.signal is None else classify(self.signal).billed

    def _observed(self) -> Usage | None:
        """What is charged for it when it ends; None: nothing, since it failed before any content."""
        return None if self.signal is not None and self.first is None else self.shown()

    def shown(self) -> Usage:
        """What a stream told or showed, or the prompt alone if it was left early."""
        if self.reader is not None:
            return self.reader.usage
        # Left before a word of it: the prompt may have been read and billed, so leaving is not free.
        return Usage(input=-(-self.call.prompt_bytes // BYTES_PER_TOKEN))

    def given_up(self, now: float) -> bool:
        """Whether it has just ended because its caller would wait no longer, who has nothing of it."""
        timed_out = self.signal is not None and self.signal.kind is Kind.TIMEOUT
        return timed_out and self.first is None and now >= self.patience


class Book(Struct):
    """Running account of one call."""

    call: Call
    called: tuple[str, ...]
    """Ids of the tool calls in its history."""
    meters: Meters
    """The limits that may have to hold it."""
    route: Route
    asker: Asker
    """Who asks for what, as limits see it."""
    selection: Selection
    """The targets that may be tried, in order, never none; and who was passed over."""
    estimate: Estimate
    """Upper bound of what the call can use."""
    worst: int
    """What that costs at most, nano-dollars."""
    started_us: int
    claims: tuple[Claim, ...] = ()
    """All claims held so far."""
    balances: tuple[Balance, ...] = ()
    """The counters as the reservation left them."""
    holding: bool = False
    """Whether the ledger may hold a reservation that must be settled."""
    attempts: list[Attempt] = field(default_factory=list)
    first_ms: int | None = None
    added_s: float | None = None
    """What the caller waited for it beyond what its upstream took."""
    answered: Candidate | None = None
    """Whose content reached the caller."""
    sent: Sent | None = None
    """What the caller has of a stream, where another may have to go on with it."""
    spent: bool = False
    """Whether an upstream did some work, or may have."""
    given_up: tuple[tuple[OpenAttempt, Attempt], ...] = ()
    """What was under way when the caller's patience ended, unless something was charged after it."""
    paid: Usage = NOTHING
    nano_usd: int = 0
    by_upstream: dict[str, tuple[Usage, int]] = field(default_factory=dict)
    schema: Schema | None = None
    """What a whole answer is held to, where the route says so."""
    spares: int = 0
    """Answers that may be needed beside the one: to mend a broken stream, to overtake a late one, or in place
    of one that is off the caller's schema. As many times as much again is held for them."""

    @classmethod
    def of(cls, judged: Judgement, started_us: int) -> "Book":
        """The book of a call that was judged. Raises what it was refused with."""
        if judged.refused is not None:
            raise judged.refused
        return cls(
            judged.call,
            judged.called,
            judged.meters,
            judged.route,
            judged.asker,
            judged.selection,
            judged.estimate,
            judged.nano_usd,
            started_us,
            schema=judged.schema,
            spares=judged.spares,
        )

    @property
    def mendable(self) -> bool:
        """Whether another target could go on with what the caller has, and is paid for."""
        return self.sent is not None and self.sent.open and self.covers_another

    @property
    def covers_another(self) -> bool:
        """Whether what is held pays for one more answer, after what was spent on those before it."""
        estimate, parts = self.estimate, 1 + self.spares
        tokens, money = parts * self.paid.total, parts * self.nano_usd
        return tokens <= self.spares * estimate.total and money <= self.spares * self.worst

    def attempt(self, step: Order, recall: Recall) -> OpenAttempt | Signal:
        """The attempt that `step` orders, ready to be made; a `Signal` if its target cannot be asked that.

        It begins, and is entered here, only once its target's limits hold it.
        """
        candidate = step.candidate
        dialect = DIALECTS[candidate.upstream.dialect]
        recalled = recall.find(self.call.identity, candidate.origin, self.called) if self.called else {}
        degraded = degrade(self.call, candidate.lacks)
        call = degraded.call if self.sent is None else self._going_on(self.sent, degraded.call, step)
        if isinstance(call, Signal):
            return call
        request = dialect.request(call, candidate.target, candidate.upstream, recalled)
        if isinstance(request, Signal):
            return request
        open_ = OpenAttempt(step.number, candidate, dialect, call, degraded.dropped, request, step.passed)
        if step.until is not None:
            open_.patience = step.until
        return open_

    def _going_on(self, sent: Sent, call: Call, step: Order) -> Call | Signal:
        """`call` as it goes on from where another broke off; a `Signal` if it cannot from there."""
        sent.resume(self.paid, anew=isinstance(step, Restart))
        if not isinstance(step, Continue):
            return call
        return resumed(call, step.candidate.upstream.dialect, sent.text, self.paid.output)

    def reader(self, attempt: OpenAttempt) -> Reader:
        """The reader of an attempt; what it lets through is kept where another may have to go on with it."""
        reader = attempt.dialect.reader(attempt.call, attempt.candidate.upstream)
        if not self.call.mends:
            return reader
        holds = self.route.on_midstream is OnMidstream.CONTINUE
        attempt.sent = self.sent or Sent(holds_space=holds)
        return Followed(reader, attempt.sent)

    def hold(self, claims: tuple[Claim, ...]) -> Hold:
        """The reservation that asks for `claims`."""
        estimate = self.estimate
        return Hold(
            self.call.id,
            self.started_us,
            self.call.identity,
            self.call.model,
            estimate.input_tokens,
            estimate.output_tokens,
            self.worst,
            claims,
            self.call.consent,
            self.call.question,
        )

    def caller_claims(self) -> tuple[Claim, ...]:
        """What the caller's own limits must hold, at the dearest target's price."""
        meters = self.meters.callers
        return quota.claims(meters, self.asker, self.estimate, self.worst, self.started_us) if meters else ()

    def target_claims(self, target: Target, wall_us: int) -> tuple[Claim, ...]:
        """What the limits of this target's upstream must hold by then and do not hold yet.

        In the windows of that moment: a call that waited for the next one is held in the next one.
        """
        meters, estimate = self.meters.upstreams.get(target.upstream), self.estimate
        if meters is None:
            return ()
        price = target.price or FREE
        worst = price.worst(estimate.input_tokens, estimate.output_tokens)
        wanted = quota.claims(meters, self.asker, estimate, worst, wall_us)
        if not wanted or not self.claims:
            return wanted
        held = {claim.scope for claim in self.claims}
        return tuple(claim for claim in wanted if claim.scope not in held)

    def standing(self) -> dict[str, str]:
        """Headers that say how much is left of the caller's limits, as of the reservation."""
        return ratelimit.standing(self.balances, self.started_us)

    def tried(self, attempt: OpenAttempt, entry: Attempt, now: float) -> None:
        """Enter an attempt that has just ended, and charge what it used."""
        self.attempts.append(entry)
        self.spent = self.spent or entry.billed is not Billed.NO
        if entry.usage is not None:
            self.given_up = ()
            self.charge(attempt.candidate.target, entry.usage)
        elif attempt.given_up(now):
            beside = (one for one in self.given_up if one[1].ended_ms > entry.started_ms)
            self.given_up = (*beside, (attempt, entry))

    def progress(self, target: Target, usage: Usage) -> Progress:
        """What the call would come to if it ended now, `target` having used so much."""
        ahead = replace(self, by_upstream=dict(self.by_upstream))
        ahead.charge(target, usage)
        return Progress(
            self.call.id, ahead.paid, ahead.nano_usd, target.upstream, target.model, ahead.charges()
        )

    def charge(self, target: Target, usage: Usage) -> None:
        """Add what `target` used to what the call has come to."""
        cost = 0 if target.price is None else target.price.cost(usage)
        before = self.by_upstream.get(target.upstream)
        self.by_upstream[target.upstream] = (
            (usage, cost) if before is None else (before[0].plus(usage), before[1] + cost)
        )
        self.paid = usage if self.paid is NOTHING else self.paid.plus(usage)
        self.nano_usd += cost

    def settle(self, ending: Ending, ended_us: int) -> Settlement:
        """The one resolution of this call, with what observers and the ledger may know of it."""
        call, answered = self.call, self.answered
        target = None if answered is None else answered.target
        if self.given_up:
            self._charge_given_up()
        if len(self.attempts) > 1:
            self.attempts.sort(key=lambda attempt: attempt.started_ms)
        outcome = Outcome(
            call_id=call.id,
            identity=call.identity,
            model=call.model,
            stream=call.stream,
            status=ending.status,
            result=ending.result,
            upstream=None if target is None else target.upstream,
            upstream_model=None if target is None else target.model,
            usage=self.paid,
            nano_usd=self.nano_usd,
            attempts=tuple(self.attempts),
            started_us=self.started_us,
            first_ms=self.first_ms,
            total_ms=max(0, ended_us - self.started_us) // 1000,
            error=ending.error,
            fallback=answered is not None and answered is not self.selection.candidates[0],
            added_s=self.added_s,
            spent=self.spent,
        )
        return Settlement(outcome, ended_us, self.charges(), call.question)

    def _charge_given_up(self) -> None:
        """Nobody answered while the caller would wait: that costs what a hang-up would have cost."""
        for attempt, entry in self.given_up:
            usage = attempt.shown()
            self.attempts[self.attempts.index(entry)] = replace(entry, usage=usage)
            self.charge(attempt.candidate.target, usage)

    def charges(self) -> tuple[Charge, ...]:
        """What each claim has come to."""
        return quota.charges(self.claims, self.paid, self.nano_usd, self.by_upstream)
