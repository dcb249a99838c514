"""All live health: who may be tried now, and what each attempt's outcome changes.

`plan.py` takes a ticket before each attempt and hands it back exactly once; `server` and `metrics`
only read. What is kept of an upstream is one record (`circles.py`), and a ticket leads to it. Where all is
calm, most of the time, nothing more is asked or counted than that. Rate limits are plain cool-downs: they
end by themselves and need no probe. Nothing here knows a call, a vendor or a clock.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from proxy.call import Kind, Load, Signal
from proxy.policy import retry
from proxy.policy.breaker import PROBE_WAIT_S, Breaker, Pass, State
from proxy.policy.circles import TargetHealth, UpstreamHealth
from proxy.policy.classify import Blame, Class, Verdict
from proxy.policy.leave import FULL, RECOVERING, SATURATED, Closed, Ticket
from proxy.policy.patience import Pace
from proxy.policy.places import Places, Turn
from proxy.policy.saturation import Saturation
from proxy.ports import Dice
from proxy.table import BreakerRules, LoadRules, Target

COOLED_BY: Mapping[Kind, Class] = {
    Kind.RATE_LIMITED: Class.RATE_LIMIT,
    Kind.SATURATED: Class.SATURATED,
    Kind.OVERLOADED: Class.OVERLOAD,
}
"""Kinds of trouble that may ask for a pause, and what the pause is then called."""
PAUSES: Mapping[Kind, tuple[float, float]] = {Kind.RATE_LIMITED: (1.0, 60.0), Kind.SATURATED: (0.5, 5.0)}
"""The bounds of a pause that has to be guessed, for the first refusal and in the end: a minute's rate comes
back with the minute, a full queue moves with every answer."""
NO_LIMITS: Mapping[str, int] = MappingProxyType({})
UNTOLD: Mapping[str, LoadRules] = MappingProxyType({})
"""Nobody tells how busy they are."""
JITTER = 0.1
JITTER_FROM_S = 1.0
"""Shorter waits are kept exact, because a call may be waiting in place for their end."""


class _Cooling(Struct, frozen=True):
    """A target that asked for a pause."""

    until: float
    why: Class
    strikes: int


class _Lasting(Struct, frozen=True):
    """What a reload hands on."""

    upstreams: Mapping[str, UpstreamHealth]
    cooling: dict[tuple[str, str], _Cooling]


class _Targets(dict[tuple[str, str], TargetHealth]):
    """What is known of targets, by upstream and model, from the first time that one is asked for."""

    def __init__(self, upstreams: Mapping[str, UpstreamHealth]) -> None:
        super().__init__()
        self._upstreams = upstreams

    def __missing__(self, key: tuple[str, str]) -> TargetHealth:
        name, model = key
        known = self[key] = self._upstreams[name].target(model)
        return known


class Health:
    """Breakers and cool-downs of all upstreams in force; shared by all calls of a snapshot."""

    def __init__(
        self,
        rules: Mapping[str, BreakerRules],
        streams: Mapping[str, int] = NO_LIMITS,
        loads: Mapping[str, LoadRules] = UNTOLD,
    ) -> None:
        self._upstreams = {
            name: UpstreamHealth(
                name,
                Breaker(rule),
                Places(streams.get(name)),
                Saturation(loads[name]) if name in loads else None,
            )
            for name, rule in rules.items()
        }
        self._targets = _Targets(self._upstreams)
        self._cooling: dict[tuple[str, str], _Cooling] = {}
        self.news: list[tuple[str, str]] = []
        """Breaker changes that no observer has heard of yet; see `changes`."""
        self.outstanding = 0
        """Tickets not yet handed back."""

    def adopt(self, old: "Health") -> None:
        """Carry over what is known of upstreams that keep their name; once the new table is sure to rule."""
        kept = old.lasting
        # A pause outlives even an upstream that comes back with the next edit, and is dropped when it is over
        # (`_cool`).
        self._cooling = kept.cooling
        self._targets.clear()  # they would lead to what was here before
        # In the table's order, not a set's: who is woken first must not hang on the hash of a name.
        for name, mine in self._upstreams.items():
            if name in kept.upstreams:
                mine.inherit(kept.upstreams[name])

    def twin(self) -> "Health":
        """What is known now, apart from us: whoever asks what would happen changes nothing by it."""
        twin = Health({})
        twin._upstreams = {name: one.twin() for name, one in self._upstreams.items()}
        twin._targets = _Targets(twin._upstreams)
        twin._cooling = dict(self._cooling)
        return twin

    @property
    def lasting(self) -> _Lasting:
        """What outlives a reload; only for `adopt`."""
        return _Lasting(self._upstreams, self._cooling)

    def shut(self, target: Target, now: float, *, last: bool) -> Closed | None:
        """Why and until when `target` is closed; the circle that stays shut longest names the reason."""
        return self._shut(self._targets[target.upstream, target.model], now, last=last)

    def admit(
        self, target: Target, now: float, *, last: bool, again: bool = False, turn: Turn | None = None
    ) -> Ticket | Closed:
        """A ticket for `target`, or why and until when not.

        `last`: nothing is left behind it. `again`: the try counts as a second one. `turn`: whoever asks
        stood in line for a place.
        """
        known = self._targets[target.upstream, target.model]
        ours, model = known.upstream, known.model
        upstream, account = ours.breaker, ours.account
        calm = upstream.calm and account.calm and model.calm
        shut = None if calm and not self._cooling else self._shut(known, now, last=last)
        places = ours.places
        kept = turn if turn is not None and turn.granted and turn.upstream == ours.name else None
        if shut is None and kept is None and places.limit is not None and places.full:
            shut = Closed(now + PROBE_WAIT_S, FULL)
        if shut is None and not last and ours.saturation is not None:
            until = ours.saturation.until(now)
            shut = None if until is None else Closed(until, SATURATED)
        if shut is not None:
            if shut.why == RECOVERING:
                upstream.knocked(now, let_in=False)
            return shut
        ours.budget.tried(now, again=again)
        places.take(kept)
        self.outstanding += 1
        if calm:
            return Ticket(known, upstream.common, account.common, model.common, calm)
        before = upstream.state
        upstream.knocked(now, let_in=True)
        ticket = Ticket(known, upstream.enter(), account.enter(), model.enter(), calm)
        self._told(ours, before)
        return ticket

    def join(self, target: Target, tenant: str) -> Turn:
        """Stand in line for a place at the upstream of `target`."""
        turn = Turn(target.upstream, tenant)
        self._upstreams[target.upstream].places.join(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Stand in line no more; a place that was granted and not taken goes to the next."""
        self._upstreams[turn.upstream].places.leave(turn)

    def heard(self, upstream: str, load: Load, now: float) -> None:
        """`upstream` has told how busy it is."""
        known = self._upstreams.get(upstream)
        if known is not None and known.saturation is not None:
            known.saturation.heard(load, now)

    def saturated_until(self, target: Target, now: float) -> float | None:
        """None: nothing is known against it; else when to look again, for too many wait at its upstream."""
        saturation = self._upstreams[target.upstream].saturation
        return None if saturation is None else saturation.until(now)

    def loads(self, now: float) -> dict[str, tuple[Load, bool]]:
        """What upstreams say of themselves just now, and whether that is too much."""
        saying = ((name, ours.saturation) for name, ours in self._upstreams.items())
        told = ((name, one, one.load(now)) for name, one in saying if one is not None)
        return {name: (load, one.until(now) is not None) for name, one, load in told if load is not None}

    def may_retry(self, target: Target, now: float) -> bool:
        """Whether its upstream can bear a second try for one caller."""
        return self._upstreams[target.upstream].budget.allows(now)

    def pace(self, target: Target, *, stream: bool) -> Pace:
        """How long it takes to the first content of a stream, or to a whole answer."""
        return self._targets[target.upstream, target.model].paces[stream]

    def began(self, ticket: Ticket, now: float) -> None:
        """Content has come: a probe need not run to its end to prove its point."""
        if ticket.calm:
            return
        ours, model = ticket.target.upstream, ticket.target.model
        before = ours.breaker.state
        ticket.upstream = _proved(ours.breaker, ticket.upstream, now)
        ticket.account = _proved(ours.account, ticket.account, now)
        ticket.model = _proved(model, ticket.model, now)
        self._told(ours, before)

    def answered(self, ticket: Ticket, now: float) -> None:
        """The attempt gave a whole answer."""
        known = self._take_back(ticket)
        ours, model = known.upstream, known.model
        upstream, account = ours.breaker, ours.account
        if not (upstream.calm and account.calm and model.calm):
            before = upstream.state
            upstream.success(ticket.upstream, now)
            account.success(ticket.account, now)
            model.success(ticket.model, now)
            self._told(ours, before)
        if self._cooling:
            self._warm((ours.name, known.name), now)

    def left(self, ticket: Ticket) -> None:
        """The attempt says nothing about anyone: the caller left, or nothing was sent."""
        for _, breaker, leave in _circles(self._take_back(ticket), ticket):
            breaker.neutral(leave)

    def failed(self, ticket: Ticket, verdict: Verdict, signal: Signal, now: float, dice: Dice) -> None:
        """The attempt failed; whoever is to blame for it pays."""
        known = self._take_back(ticket)
        ours, before = known.upstream, known.upstream.breaker.state
        blamed = verdict.blame
        if signal.kind is Kind.RATE_LIMITED:
            blamed = Blame.NONE  # a pause is all it takes; no probe has to prove anything
        if blamed is Blame.ACCOUNT:
            ours.refused = Class.MONEY if signal.kind is Kind.NO_CREDIT else Class.AUTH
        for circle, breaker, leave in _circles(known, ticket):
            if circle is blamed:
                breaker.failure(leave, now, dice.roll())
            else:
                breaker.neutral(leave)
        self._cool((ours.name, known.name), signal, now, dice)
        self._told(ours, before)

    def state(self, upstream: str, now: float) -> str:
        """`closed`, `open` or `half_open`; an open breaker whose time is over is as good as half open."""
        breaker = self._upstreams[upstream].breaker
        if breaker.state is State.OPEN and breaker.closed_until(now) is None:
            return State.HALF_OPEN.value
        return breaker.state.value

    def make_room(self) -> None:
        """As if an attempt had ended wherever there is no place; only for a `twin`."""
        for one in self._upstreams.values():
            if one.places.full:
                one.places.give_back()

    def under_way(self, upstream: str) -> int:
        """Attempts at `upstream` under way."""
        return self._upstreams[upstream].places.used

    def usable(self, upstream: str, now: float) -> bool:
        """Whether a call could be sent to `upstream` now."""
        return self.shut_until(upstream, now) is None

    def shut_until(self, upstream: str, now: float) -> float | None:
        """When a call may be sent to `upstream` again, whatever model it is for; None: now."""
        ours = self._upstreams[upstream]
        breakers = (ours.breaker, ours.account)
        shut = [until for each in breakers if (until := each.closed_until(now)) is not None]
        return max(shut, default=None)

    def troubles(self, now: float) -> dict[str, str]:
        """What is wrong now, by upstream (`openai`) or target (`openai/gpt-4o`)."""
        found = {name: SATURATED for name, (_, over) in self.loads(now).items() if over}
        found |= {name: "open" for name in self._upstreams if not self.usable(name, now)}
        for name, ours in self._upstreams.items():
            if ours.account.closed_until(now) is not None:
                found[name] = ours.refused.value
        for (name, model), cooling in self._cooling.items():
            if now < cooling.until:
                found[f"{name}/{model}"] = cooling.why.value
        for name, ours in self._upstreams.items():
            for model, breaker in ours.models.items():
                if breaker.closed_until(now) is not None:
                    found[f"{name}/{model}"] = Class.MODEL.value
        return found

    def changes(self) -> tuple[tuple[str, str], ...]:
        """Breaker changes to tell observers: (upstream, new state); each is told once."""
        drained, self.news = tuple(self.news), []
        return drained

    def _shut(self, known: TargetHealth, now: float, *, last: bool) -> Closed | None:
        ours = known.upstream
        cooling = self._cooling.get((ours.name, known.name))
        shut: list[Closed] = []
        if (until := ours.breaker.closed_until(now, last=last)) is not None:
            shut.append(Closed(until, "open"))
        if not last and (until := ours.breaker.recovering_until(now)) is not None:
            shut.append(Closed(until, RECOVERING))
        if (until := ours.account.closed_until(now)) is not None:
            shut.append(Closed(until, ours.refused.value))
        if (until := known.model.closed_until(now)) is not None:
            shut.append(Closed(until, Class.MODEL.value))
        if cooling is not None and now < cooling.until:
            shut.append(Closed(cooling.until, cooling.why.value))
        return max(shut, key=lambda closed: closed.until) if shut else None

    def _cool(self, key: tuple[str, str], signal: Signal, now: float, dice: Dice) -> None:
        """Note a pause that was asked for, or must be guessed."""
        why = COOLED_BY.get(signal.kind)
        asked = retry.clamp(signal.retry_after_s)
        if why is None or (asked is None and signal.kind not in PAUSES):
            return  # overload without a time: the breaker counts it, the next call may try
        over = [one for one, each in self._cooling.items() if each.until <= now]
        for gone in [one for one in over if one[0] not in self._upstreams]:
            del self._cooling[gone]
        before = self._cooling.get(key, _Cooling(now, why, 0))
        # Refusals that arrive together are one strike, or a burst would count as a long outage.
        strikes = before.strikes + (before.until <= now)
        if asked is not None:
            jitter = 1.0 + JITTER * dice.roll() if asked > JITTER_FROM_S else 1.0
            wait = min(asked * jitter, retry.RETRY_AFTER_MAX_S)
        else:
            first_s, cap_s = PAUSES[signal.kind]
            wait = retry.backoff(strikes, dice.roll(), first_s=first_s, cap_s=cap_s)
        self._cooling[key] = _Cooling(max(now + wait, before.until), why, strikes)

    def _warm(self, key: tuple[str, str], now: float) -> None:
        """Forget a pause that is over. An answer to a call from before a refusal says nothing about that."""
        cooling = self._cooling.get(key)
        if cooling is not None and cooling.until <= now:
            del self._cooling[key]

    def _take_back(self, ticket: Ticket) -> TargetHealth:
        known = ticket.target
        if ticket.back:
            raise RuntimeError(f"a ticket for {known.upstream.name}/{known.name} was handed back twice")
        ticket.back = True
        self.outstanding -= 1
        known.upstream.places.give_back()
        return known

    def _told(self, ours: UpstreamHealth, before: State) -> None:
        after = ours.breaker.state
        if after is not before:
            self.news.append((ours.name, after.value))


def _proved(breaker: Breaker, leave: Pass, now: float) -> Pass:
    """Close a breaker that this attempt was a probe of, and take leave anew from it."""
    if not breaker.is_probe(leave):
        return leave
    breaker.success(leave, now)
    return breaker.enter()


def _circles(known: TargetHealth, ticket: Ticket) -> tuple[tuple[Blame, Breaker, Pass], ...]:
    """Its circles of trouble, each with the leave that the attempt has of it."""
    ours = known.upstream
    return (
        (Blame.UPSTREAM, ours.breaker, ticket.upstream),
        (Blame.ACCOUNT, ours.account, ticket.account),
        (Blame.MODEL, known.model, ticket.model),
    )
