"""The book of one call: what is held for it, what was tried, what it came to.

`relay.py` keeps one for each call and reads from it the reservation to make and the one settlement
that ends it. The book only adds up; it awaits nothing and decides nothing about routing.
"""

from dataclasses import dataclass, field, replace

from proxy.call import Attempt, Billed, Call, Outcome, Phase, Signal, UpstreamRequest
from proxy.policy import quota, ratelimit
from proxy.policy.classify import classify
from proxy.policy.degrade import Degraded
from proxy.policy.estimate import Estimate
from proxy.policy.selection import Candidate, Selection
from proxy.ports import Balance, Charge, Claim, Hold, Progress, Settlement
from proxy.table import Route, Table, Target
from proxy.usage import FREE, Price, Usage
from proxy.wire.dialect import Dialect, Reader

NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended."""

    status: int
    """HTTP status as the caller saw it, or would have."""
    result: str
    """`ok`, or the word for what went wrong."""


@dataclass(slots=True)
class OpenAttempt:
    """One try in progress."""

    candidate: Candidate
    dialect: Dialect
    degraded: Degraded
    """The call as this target gets it."""
    request: UpstreamRequest
    began: float
    """Monotonic seconds, like `first` and `last`."""
    last: float = float("inf")
    """When the whole attempt must be over."""
    phase: Phase = Phase.SENT
    status: int | None = None
    first: float | None = None
    """When content was first sent to the caller; None: it has nothing of this attempt."""
    reader: Reader | None = None
    usage: Usage | None = None
    """Of a whole answer."""
    signal: Signal | None = None
    """What went wrong; None while nothing has, and when the caller left in the middle."""

    @property
    def call(self) -> Call:
        """What this target was asked."""
        return self.degraded.call

    @property
    def losses(self) -> tuple[str, ...]:
        """All that this target was not asked for, though the caller asked: ours first, then its dialect's."""
        return tuple(dict.fromkeys((*self.degraded.dropped, *self.request.degraded)))

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
            billed=self._billed(),
            usage=self._observed(),
            detail=self.signal.detail if self.signal else "",
        )

    def _billed(self) -> Billed:
        """Whether the upstream will charge for it, as far as can be known."""
        if self.first is not None:
            return Billed.YES
        return Billed.UNKNOWN if self.signal is None else classify(self.signal).billed

    def _observed(self) -> Usage | None:
        """What was used: reported, observed, or the prompt alone if it was left early; None: nothing."""
        if self.usage is not None:
            return self.usage
        if self.signal is not None and self.first is None:
            return None
        if self.reader is not None:
            return self.reader.usage
        # Left before a word of it: the prompt may have been read and billed, so leaving is not free.
        return Usage(input=-(-self.call.prompt_bytes // 4))


@dataclass(slots=True)
class Book:
    """Running account of one call."""

    call: Call
    table: Table
    route: Route
    selection: Selection
    estimate: Estimate
    """Upper bound of what the call can use."""
    started_us: int
    claims: tuple[Claim, ...] = ()
    """All claims held so far."""
    balances: tuple[Balance, ...] = ()
    """The counters as the reservation left them."""
    holding: bool = False
    """Whether the ledger may hold a reservation that must be settled."""
    attempts: list[Attempt] = field(default_factory=list)
    first_ms: int | None = None
    answered: Candidate | None = None
    """Whose content reached the caller."""
    paid: Usage = NOTHING
    nano_usd: int = 0
    by_upstream: dict[str, tuple[Usage, int]] = field(default_factory=dict)
    _asker: quota.Asker = field(init=False)
    _worst: Price = field(init=False)
    """A price that no target exceeds."""

    def __post_init__(self) -> None:
        self._asker = quota.Asker(self.call.identity, self.call.model, self.route.model)
        self._worst = quota.dearest(self.candidates)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The targets that may be tried, in order; never empty."""
        return self.selection.candidates

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
            self._worst.worst(estimate.input_tokens, estimate.output_tokens),
            claims,
            self.call.consent,
        )

    def caller_claims(self) -> tuple[Claim, ...]:
        """What the caller's own limits must hold, at the dearest target's price."""
        return quota.caller_claims(self.table, self._asker, self._worst, self.estimate, self.started_us)

    def target_claims(self, candidate: Candidate) -> tuple[Claim, ...]:
        """What the limits of this target's upstream must hold and do not hold yet."""
        wanted = quota.target_claims(
            self.table, self._asker, candidate.target, self.estimate, self.started_us
        )
        if not wanted or not self.claims:
            return wanted
        held = {claim.scope for claim in self.claims}
        return tuple(claim for claim in wanted if claim.scope not in held)

    def standing(self) -> dict[str, str]:
        """Headers that say how much is left of the caller's limits, as of the reservation."""
        return ratelimit.standing(self.balances, self.started_us)

    def tried(self, attempt: Attempt, candidate: Candidate) -> None:
        """Enter an attempt; what it used is charged to its upstream, and to the caller if it saw it."""
        self.attempts.append(attempt)
        if attempt.usage is not None:
            self.charge(candidate.target, attempt.usage)

    def progress(self, target: Target, usage: Usage) -> Progress:
        """What the call would come to if it ended now, `target` having used so much."""
        ahead = replace(self, by_upstream=dict(self.by_upstream))
        ahead.charge(target, usage)
        return Progress(
            self.call.id, ahead.paid, ahead.nano_usd, target.upstream, target.model, ahead.charges()
        )

    def charge(self, target: Target, usage: Usage) -> None:
        """Add what `target` used to what the call has come to."""
        cost = (target.price or FREE).cost(usage)
        before, spent = self.by_upstream.get(target.upstream, (NOTHING, 0))
        self.by_upstream[target.upstream] = (_sum(before, usage), spent + cost)
        self.paid = _sum(self.paid, usage)
        self.nano_usd += cost

    def settle(self, ending: Ending, ended_us: int) -> Settlement:
        """The one resolution of this call."""
        return Settlement(self.outcome(ending, ended_us), ended_us, self.charges())

    def outcome(self, ending: Ending, ended_us: int) -> Outcome:
        """What observers and the ledger may know."""
        answered = self.answered.target if self.answered else None
        return Outcome(
            call_id=self.call.id,
            identity=self.call.identity,
            model=self.call.model,
            stream=self.call.stream,
            status=ending.status,
            result=ending.result,
            upstream=answered.upstream if answered else None,
            upstream_model=answered.model if answered else None,
            usage=self.paid,
            nano_usd=self.nano_usd,
            attempts=tuple(self.attempts),
            started_us=self.started_us,
            first_ms=self.first_ms,
            total_ms=max(0, ended_us - self.started_us) // 1000,
        )

    @property
    def spent(self) -> bool:
        """Whether anything was used that somebody has to pay for."""
        return any(attempt.billed is not Billed.NO and attempt.usage for attempt in self.attempts)

    def charges(self) -> tuple[Charge, ...]:
        """What each claim has come to."""
        return quota.charges(self.claims, self.paid, self.nano_usd, self.by_upstream)


def _sum(one: Usage, other: Usage) -> Usage:
    """Both together, as trustworthy as the less trustworthy (`reported` before `observed`)."""
    if one is NOTHING:
        return other
    return replace(
        other,
        input=one.input + other.input,
        output=one.output + other.output,
        cached=one.cached + other.cached,
        cache_write=one.cache_write + other.cache_write,
        reasoning=one.reasoning + other.reasoning,
        source=max(one.source, other.source, key=("reported", "observed", "estimated").index),
    )
