"""All live health: who may be tried now, and what each attempt's outcome changes.

`plan.py` takes a ticket before each attempt and hands it back exactly once; `server` and `metrics`
only read. Three circles of trouble, each with breakers of its own: an upstream, the account behind
its credential (money, auth), one model of it (not there). Rate limits are plain cool-downs: they end
by themselves and need no probe. Nothing here knows a call, a vendor or a clock.
"""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from proxy.call import Kind, Load, Signal
from proxy.policy import retry
from proxy.policy.breaker import PROBE_WAIT_S, Breaker, Pass, State
from proxy.policy.budget import RetryBudget
from proxy.policy.classify import Blame, Class, Verdict
from proxy.policy.leave import FULL, RECOVERING, SATURATED, Closed, Ticket
from proxy.policy.patience import Pace
from proxy.policy.places import Places, Turn
from proxy.policy.saturation import Saturation
from proxy.ports import Dice
from proxy.table import BreakerRules, LoadRules, Target

ACCOUNT_RULES = BreakerRules(failures=1, open_s=300.0, open_max_s=900.0)
"""Money and credentials are mended by people, not by seconds; one refusal is proof."""
MODEL_RULES = BreakerRules(failures=1, open_s=60.0, open_max_s=300.0)
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

    upstreams: dict[str, Breaker]
    budgets: dict[str, RetryBudget]
    places: dict[str, Places]
    paces: dict[tuple[str, str, bool], Pace]
    cooling: dict[tuple[str, str], _Cooling]
    saturations: dict[str, Saturation]


class Health:
    """Breakers and cool-downs of all upstreams in force; shared by all calls of a snapshot."""

    def __init__(
        self,
        rules: Mapping[str, BreakerRules],
        streams: Mapping[str, int] = NO_LIMITS,
        loads: Mapping[str, LoadRules] = UNTOLD,
    ) -> None:
        self._upstreams = {name: Breaker(rule) for name, rule in rules.items()}
        self._budgets = {name: RetryBudget() for name in rules}
        self._places = {name: Places(streams.get(name)) for name in rules}
        self._saturations = {name: Saturation(rule) for name, rule in loads.items()}
        self._accounts = {name: Breaker(ACCOUNT_RULES) for name in rules}
        self._account_why: dict[str, Class] = {}
        self._models: dict[tuple[str, str], Breaker] = {}
        self._cooling: dict[tuple[str, str], _Cooling] = {}
        self._paces: dict[tuple[str, str, bool], Pace] = {}
        self._changes: list[tuple[str, str]] = []
        self._out: set[int] = set()
        self._issued = 0

    def adopt(self, old: "Health") -> None:
        """Carry over what is known of upstreams that keep their name; once the new table is sure to rule.

        The breakers are shared, so that calls still running on the old table count here too.
        Refused accounts and models are forgotten: the operator may just have mended them.
        """
        kept = old.lasting
        self._cooling, self._paces = kept.cooling, kept.paces
        # Dropped where it lies, for calls on the old table share it. A pause outlives even an upstream that
        # comes back with the next edit, and is dropped when it is over (`_cool`).
        for gone in [key for key in self._paces if key[0] not in self._upstreams]:
            del self._paces[gone]
        # In the table's order, not a set's: who is woken first must not hang on the hash of a name.
        for name in [name for name in self._upstreams if name in kept.upstreams]:
            kept.upstreams[name].rules = self._upstreams[name].rules
            self._upstreams[name] = kept.upstreams[name]
            self._budgets[name] = kept.budgets[name]
            kept.places[name].limit = self._places[name].limit
            self._places[name] = kept.places[name]
            self._places[name].grant()
        for name in self._saturations.keys() & kept.saturations.keys():
            kept.saturations[name].rules = self._saturations[name].rules
            self._saturations[name] = kept.saturations[name]

    def twin(self) -> "Health":
        """What is known now, apart from us: whoever asks what would happen changes nothing by it."""
        twin = Health({})
        twin._upstreams, twin._accounts = deepcopy(self._upstreams), deepcopy(self._accounts)
        twin._budgets, twin._models = deepcopy(self._budgets), deepcopy(self._models)
        twin._paces, twin._cooling = deepcopy(self._paces), dict(self._cooling)
        twin._account_why = dict(self._account_why)
        twin._places = {name: places.twin() for name, places in self._places.items()}
        return twin

    @property
    def lasting(self) -> "_Lasting":
        """What outlives a reload; only for `adopt`."""
        return _Lasting(
            self._upstreams, self._budgets, self._places, self._paces, self._cooling, self._saturations
        )

    @property
    def outstanding(self) -> int:
        """Tickets not yet handed back."""
        return len(self._out)

    def shut(self, target: Target, now: float, *, last: bool) -> Closed | None:
        """Why and until when `target` is closed; the circle that stays shut longest names the reason."""
        upstream, account, model = self._breakers(target)
        cooling = self._cooling.get(_key(target)) if self._cooling else None
        shut: list[Closed] = []
        if (until := upstream.closed_until(now, last=last)) is not None:
            shut.append(Closed(until, "open"))
        if not last and (until := upstream.recovering_until(now)) is not None:
            shut.append(Closed(until, RECOVERING))
        if (until := account.closed_until(now)) is not None:
            shut.append(Closed(until, self._account_why.get(target.upstream, Class.AUTH).value))
        if (until := model.closed_until(now)) is not None:
            shut.append(Closed(until, Class.MODEL.value))
        if cooling is not None and now < cooling.until:
            shut.append(Closed(cooling.until, cooling.why.value))
        return max(shut, key=lambda closed: closed.until) if shut else None

    def admit(
        self, target: Target, now: float, *, last: bool, again: bool = False, turn: Turn | None = None
    ) -> Ticket | Closed:
        """A ticket for `target`, or why and until when not.

        `last`: nothing is left behind it. `again`: the try counts as a second one. `turn`: whoever asks
        stood in line for a place.
        """
        shut = self.shut(target, now, last=last)
        places = self._places[target.upstream]
        kept = turn if turn is not None and turn.granted and turn.upstream == target.upstream else None
        if shut is None and kept is None and places.full:
            shut = Closed(now + PROBE_WAIT_S, FULL)
        if shut is None and not last and target.upstream in self._saturations:
            until = self.saturated_until(target, now)
            shut = None if until is None else Closed(until, SATURATED)
        if shut is not None:
            if shut.why == RECOVERING:
                self._upstreams[target.upstream].knocked(now, let_in=False)
            return shut
        upstream, account, model = self._breakers(target)
        upstream.knocked(now, let_in=True)
        self._budgets[target.upstream].tried(now, again=again)
        places.take(kept)
        self._issued += 1
        self._out.add(self._issued)
        before = upstream.state
        ticket = Ticket(self._issued, target, upstream.enter(), account.enter(), model.enter())
        self._told(target.upstream, before)
        return ticket

    def join(self, target: Target, tenant: str) -> Turn:
        """Stand in line for a place at the upstream of `target`."""
        turn = Turn(target.upstream, tenant)
        self._places[target.upstream].join(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Stand in line no more; a place that was granted and not taken goes to the next."""
        self._places[turn.upstream].leave(turn)

    def heard(self, upstream: str, load: Load, now: float) -> None:
        """`upstream` has told how busy it is."""
        if upstream in self._saturations:
            self._saturations[upstream].heard(load, now)

    def saturated_until(self, target: Target, now: float) -> float | None:
        """None: nothing is known against it; else when to look again, for too many wait at its upstream."""
        saturation = self._saturations.get(target.upstream)
        return None if saturation is None else saturation.until(now)

    def loads(self, now: float) -> dict[str, tuple[Load, bool]]:
        """What upstreams say of themselves just now, and whether that is too much."""
        told = ((name, one, one.load(now)) for name, one in self._saturations.items())
        return {name: (load, one.until(now) is not None) for name, one, load in told if load is not None}

    def may_retry(self, target: Target, now: float) -> bool:
        """Whether its upstream can bear a second try for one caller."""
        return self._budgets[target.upstream].allows(now)

    def pace(self, target: Target, *, stream: bool) -> Pace:
        """How long it takes to the first content of a stream, or to a whole answer."""
        key = (target.upstream, target.model, stream)
        found = self._paces.get(key)
        if found is None:
            found = self._paces[key] = Pace()
        return found

    def began(self, ticket: Ticket, now: float) -> Ticket:
        """Content has come: a probe need not run to its end to prove its point.

        Returns the ticket to hand back later instead.
        """
        upstream, account, model = self._breakers(ticket.target)
        if not (upstream.probed or account.probed or model.probed):
            return ticket
        before = upstream.state
        renewed = replace(
            ticket,
            upstream=_proved(upstream, ticket.upstream, now),
            account=_proved(account, ticket.account, now),
            model=_proved(model, ticket.model, now),
        )
        self._told(ticket.target.upstream, before)
        return renewed

    def answered(self, ticket: Ticket, now: float) -> None:
        """The attempt gave a whole answer."""
        before = self._take_back(ticket)
        upstream, account, model = self._breakers(ticket.target)
        upstream.success(ticket.upstream, now)
        account.success(ticket.account, now)
        model.success(ticket.model, now)
        cooling = self._cooling.get(_key(ticket.target)) if self._cooling else None
        # An answer to a call that started before a refusal says nothing about the refusal.
        if cooling is not None and cooling.until <= now:
            del self._cooling[_key(ticket.target)]
        self._told(ticket.target.upstream, before)

    def left(self, ticket: Ticket) -> None:
        """The attempt says nothing about anyone: the caller left, or nothing was sent."""
        self._take_back(ticket)
        for breaker, leave in zip(self._breakers(ticket.target), _passes(ticket), strict=True):
            breaker.neutral(leave)

    def failed(self, ticket: Ticket, verdict: Verdict, signal: Signal, now: float, dice: Dice) -> None:
        """The attempt failed; whoever is to blame for it pays."""
        before = self._take_back(ticket)
        blamed = verdict.blame
        if signal.kind is Kind.RATE_LIMITED:
            blamed = Blame.NONE  # a pause is all it takes; no probe has to prove anything
        if blamed is Blame.ACCOUNT:
            why = Class.MONEY if signal.kind is Kind.NO_CREDIT else Class.AUTH
            self._account_why[ticket.target.upstream] = why
        circles = (Blame.UPSTREAM, Blame.ACCOUNT, Blame.MODEL)
        breakers = self._breakers(ticket.target)
        for circle, breaker, leave in zip(circles, breakers, _passes(ticket), strict=True):
            if circle is blamed:
                breaker.failure(leave, now, dice.roll())
            else:
                breaker.neutral(leave)
        self._cool(ticket.target, signal, now, dice)
        self._told(ticket.target.upstream, before)

    def state(self, upstream: str, now: float) -> str:
        """`closed`, `open` or `half_open`; an open breaker whose time is over is as good as half open."""
        breaker = self._upstreams[upstream]
        if breaker.state is State.OPEN and breaker.closed_until(now) is None:
            return State.HALF_OPEN.value
        return breaker.state.value

    def make_room(self) -> None:
        """As if an attempt had ended wherever there is no place; only for a `twin`."""
        for places in self._places.values():
            if places.full:
                places.give_back()

    def under_way(self, upstream: str) -> int:
        """Attempts at `upstream` under way."""
        return self._places[upstream].used

    def usable(self, upstream: str, now: float) -> bool:
        """Whether a call could be sent to `upstream` now."""
        return self.shut_until(upstream, now) is None

    def shut_until(self, upstream: str, now: float) -> float | None:
        """When a call may be sent to `upstream` again, whatever model it is for; None: now."""
        breakers = (self._upstreams[upstream], self._accounts[upstream])
        shut = [until for each in breakers if (until := each.closed_until(now)) is not None]
        return max(shut, default=None)

    def troubles(self, now: float) -> dict[str, str]:
        """What is wrong now, by upstream (`openai`) or target (`openai/gpt-4o`)."""
        found = {name: SATURATED for name, (_, over) in self.loads(now).items() if over}
        found |= {name: "open" for name in self._upstreams if not self.usable(name, now)}
        for name, why in self._account_why.items():
            if self._accounts[name].closed_until(now) is not None:
                found[name] = why.value
        for (name, model), cooling in self._cooling.items():
            if now < cooling.until:
                found[f"{name}/{model}"] = cooling.why.value
        for (name, model), breaker in self._models.items():
            if breaker.closed_until(now) is not None:
                found[f"{name}/{model}"] = Class.MODEL.value
        return found

    def changes(self) -> tuple[tuple[str, str], ...]:
        """Breaker changes since last asked: (upstream, new state); each is told once."""
        if not self._changes:
            return ()
        drained, self._changes = tuple(self._changes), []
        return drained

    def _cool(self, target: Target, signal: Signal, now: float, dice: Dice) -> None:
        """Note a pause that was asked for, or must be guessed."""
        why = COOLED_BY.get(signal.kind)
        asked = retry.clamp(signal.retry_after_s)
        if why is None or (asked is None and signal.kind not in PAUSES):
            return  # overload without a time: the breaker counts it, the next call may try
        over = [key for key, each in self._cooling.items() if each.until <= now]
        for gone in [key for key in over if key[0] not in self._upstreams]:
            del self._cooling[gone]
        before = self._cooling.get(_key(target), _Cooling(now, why, 0))
        # Refusals that arrive together are one strike, or a burst would count as a long outage.
        strikes = before.strikes + (before.until <= now)
        if asked is not None:
            jitter = 1.0 + JITTER * dice.roll() if asked > JITTER_FROM_S else 1.0
            wait = min(asked * jitter, retry.RETRY_AFTER_MAX_S)
        else:
            first_s, cap_s = PAUSES[signal.kind]
            wait = retry.backoff(strikes, dice.roll(), first_s=first_s, cap_s=cap_s)
        self._cooling[_key(target)] = _Cooling(max(now + wait, before.until), why, strikes)

    def _breakers(self, target: Target) -> tuple[Breaker, Breaker, Breaker]:
        """Of its upstream, the account there and the model."""
        name = target.upstream
        model = self._models.get((name, target.model))
        if model is None:
            model = self._models[_key(target)] = Breaker(MODEL_RULES)
        return self._upstreams[name], self._accounts[name], model

    def _take_back(self, ticket: Ticket) -> State:
        if ticket.number not in self._out:
            raise RuntimeError(f"ticket {ticket.number} for {ticket.target} was handed back twice")
        self._out.remove(ticket.number)
        self._places[ticket.target.upstream].give_back()
        return self._upstreams[ticket.target.upstream].state

    def _told(self, upstream: str, before: State) -> None:
        after = self._upstreams[upstream].state
        if after is not before:
            self._changes.append((upstream, after.value))


def _proved(breaker: Breaker, leave: Pass, now: float) -> Pass:
    """Close a breaker that this attempt was a probe of, and take leave anew from it."""
    if not breaker.is_probe(leave):
        return leave
    breaker.success(leave, now)
    return breaker.enter()


def _passes(ticket: Ticket) -> tuple[Pass, Pass, Pass]:
    return ticket.upstream, ticket.account, ticket.model


def _key(target: Target) -> tuple[str, str]:
    return target.upstream, target.model
