"""Which targets may answer a call, in what order, and why not the others.

A `Lineup` is what a route says of that by itself; `judgement.py` calls `order` once for each call, before
anything is held: what is held is the first able target's, at the price of the dearest able one. Most calls
need nothing that any target lacks and wish for nobody: for them it was settled with the lineup. Health is
not looked at here: `plan.py` skips what is closed.
"""

import math
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import asdict, force_setattr, replace

from proxy.policy.degrade import can_drop
from proxy.policy.fit import Ability, Lack, Needs, cannot, lacks
from proxy.ports import Origin
from proxy.table import Route, Table, Target, Timeouts, Upstream
from proxy.usage import FREE, Price


class Candidate(Struct, frozen=True):
    """A target with all that an attempt at it needs."""

    target: Target
    upstream: Upstream
    timeouts: Timeouts
    """The upstream's, narrowed by the route."""
    lacks: tuple[Lack, ...] = ()
    """What must be left out of the call for this target; always empty unless the route allows it."""

    @property
    def origin(self) -> Origin:
        """Who can read what an answer of it left behind: the same model in the same language."""
        return Origin(self.upstream.dialect, self.target.model)

    @property
    def goes_on(self) -> bool:
        """Whether it can go on with an answer that another began: its model's word, else its server's."""
        prefill = self.target.facts.prefill
        return self.upstream.capabilities.prefill if prefill is None else prefill


NO_CONSENT = "no consent"


class PassedOver(Struct, frozen=True):
    """A target that certainly cannot or may not serve the call, so it is not tried."""

    target: Target
    lacks: tuple[Lack, ...] = ()
    """What rules it out; empty: it may not answer without the end person's consent."""

    @property
    def why(self) -> str:
        """A few words about the target."""
        return ", ".join(lack.reason for lack in self.lacks) or NO_CONSENT

    def __str__(self) -> str:
        return f"{self.target} ({self.why})"


class Selection(Struct, frozen=True):
    """A route's targets, judged for one call."""

    candidates: tuple[Candidate, ...]
    """Those that may be tried, in order."""
    passed_over: tuple[PassedOver, ...] = ()
    dearest: Price = FREE
    """A price that no candidate exceeds for any kind of token; one without a price counts as free."""

    def __post_init__(self) -> None:
        prices = [one.target.price or FREE for one in self.candidates]
        force_setattr(self, "dearest", Price.dearest(prices))


class Lineup(Struct, frozen=True):
    """A route with all that it has to say of who answers its calls, made ready once."""

    route: Route
    plain: Selection
    """For a call that needs nothing which any target lacks, and wishes for none before the others."""
    unsure: frozenset[Ability]
    """What at least one target certainly cannot do."""
    context: float
    """The smallest context, in tokens, that is known of any target."""

    def suits(self, needs: Needs) -> bool:
        """Whether no target lacks anything of it."""
        if needs.tokens > self.context:
            return False
        return not needs.abilities or self.unsure.isdisjoint([need.ability for need in needs.abilities])

    @classmethod
    def of(cls, table: Table, route: Route) -> "Lineup":
        """The targets of `route` as it lists them."""
        found = []
        for target in route.targets:
            upstream = table.upstreams[target.upstream]
            timeouts = _narrowed(upstream.timeouts, route) if route.timeouts else upstream.timeouts
            found.append(Candidate(target, upstream, timeouts))
        facts = [target.facts for target in route.targets]
        unsure = frozenset(ability for ability in Ability if any(cannot(one, ability) for one in facts))
        context = min((one.context for one in facts if one.context is not None), default=math.inf)
        return cls(route, Selection(tuple(found)), unsure, context)


def order(lineup: Lineup, preferred: str | None, needs: Needs) -> Selection:
    """The route's targets as listed, but first the `preferred`: `UPSTREAM`, `UPSTREAM/MODEL` or `/MODEL`."""
    if preferred is None and lineup.suits(needs):
        return lineup.plain
    able, passed_over = [], []
    candidates: Iterable[Candidate] = lineup.plain.candidates
    if preferred is not None:
        host, _, model = preferred.partition("/")
        candidates = sorted(
            candidates, key=lambda it: (_misses(host, it.target.upstream), _misses(model, it.target.model))
        )
    for candidate in candidates:
        missing = lacks(needs, candidate.target.facts)
        dropping = lineup.route.drop_params
        fatal = tuple(lack for lack in missing if not can_drop(lack)) if dropping else missing
        if fatal:
            passed_over.append(PassedOver(candidate.target, fatal))
        else:
            able.append(replace(candidate, lacks=missing) if missing else candidate)
    return Selection(tuple(able), tuple(passed_over))


def _misses(wanted: str, name: str) -> bool:
    """Whether a wish is for another one; who wishes for nothing misses nothing."""
    return wanted not in {"", name}


def _narrowed(timeouts: Timeouts, route: Route) -> Timeouts:
    """A route can only shorten what its upstream allows."""
    known = asdict(timeouts)
    narrower = {name: min(known[name], seconds) for name, seconds in route.timeouts.items()}
    return replace(timeouts, **narrower)
