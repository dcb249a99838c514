"""Which targets may answer a call, in what order, and why not the others.

`judgement.py` calls `order` once for each call, before anything is held: what is held is the first
able target's, at the price of the dearest able one. Health is not looked at here: `plan.py` skips
what is closed.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import asdict, replace

from proxy.policy.degrade import can_drop
from proxy.policy.fit import Lack, Needs, lacks
from proxy.ports import Origin
from proxy.table import Route, Table, Target, Timeouts, Upstream


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


def order(table: Table, route: Route, preferred: str | None, needs: Needs) -> Selection:
    """The route's targets as listed, but first the `preferred`: `UPSTREAM`, `UPSTREAM/MODEL` or `/MODEL`."""
    candidates, passed_over = [], []
    targets: Iterable[Target] = route.targets
    if preferred is not None:
        host, _, model = preferred.partition("/")
        targets = sorted(targets, key=lambda it: (_misses(host, it.upstream), _misses(model, it.model)))
    for target in targets:
        missing = lacks(needs, target.facts)
        fatal = tuple(lack for lack in missing if not can_drop(lack)) if route.drop_params else missing
        if fatal:
            passed_over.append(PassedOver(target, fatal))
        else:
            upstream = table.upstreams[target.upstream]
            timeouts = _narrowed(upstream.timeouts, route) if route.timeouts else upstream.timeouts
            candidates.append(Candidate(target, upstream, timeouts, missing))
    return Selection(tuple(candidates), tuple(passed_over))


def _misses(wanted: str, name: str) -> bool:
    """Whether a wish is for another one; who wishes for nothing misses nothing."""
    return wanted not in {"", name}


def _narrowed(timeouts: Timeouts, route: Route) -> Timeouts:
    """A route can only shorten what its upstream allows."""
    known = asdict(timeouts)
    narrower = {name: min(known[name], seconds) for name, seconds in route.timeouts.items()}
    return replace(timeouts, **narrower)
