"""Which targets may answer a call, and in what order.

`relay.py` calls `order` once for each call, before anything is held, so that the first target's own
limits can be held with the caller's. Health is not looked at here: `plan.py` skips what is closed.
"""

from dataclasses import dataclass, fields, replace

from proxy.table import Route, Table, Target, Timeouts, Upstream


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target with all that an attempt at it needs."""

    target: Target
    upstream: Upstream
    timeouts: Timeouts
    """The upstream's, narrowed by the route."""


def order(table: Table, route: Route, preferred: str | None) -> tuple[Candidate, ...]:
    """The route's targets as listed, those of the `preferred` upstream first if the route has it."""
    listed = sorted(route.targets, key=lambda target: target.upstream != preferred)
    return tuple(_candidate(table.upstreams[target.upstream], target, route) for target in listed)


def _candidate(upstream: Upstream, target: Target, route: Route) -> Candidate:
    return Candidate(target, upstream, _narrowed(upstream.timeouts, route))


def _narrowed(timeouts: Timeouts, route: Route) -> Timeouts:
    """A route can only shorten what its upstream allows."""
    if not route.timeouts:
        return timeouts
    known = {field.name: getattr(timeouts, field.name) for field in fields(timeouts)}
    narrower = {name: min(known[name], seconds) for name, seconds in route.timeouts.items()}
    return replace(timeouts, **narrower)
