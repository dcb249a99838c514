"""The documents that views are made of: pure functions from what is seen to JSON objects.

`own.py` and `dashboard.py` send them, `docs/views.md` describes them. Of several workers one picture is
made: what they counted is added up, and an upstream is down only where it is down for all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import to_builtins

from proxy.holds import Claim
from proxy.policy import scopes
from proxy.policy.periods import MICRO, MINUTE_S
from proxy.recent import MINUTES, Minute, Reach, Seen, percentile
from proxy.server.views.glance import Overall, Own, Spent
from proxy.server.views.sight import Sight, Standing
from proxy.store.view import Counter, Crossed
from proxy.table import Table

DEGRADED_SHARE = 0.1
"""Of attempts that failed: from here on an upstream is not simply up."""
DEGRADED_FROM = 10
"""Fewer attempts than these say nothing."""
WORST: Sequence[str] = ("closed", "half_open", "open")
UNHEARD = Standing("closed", None, None, {})
"""Of an upstream that a worker does not know yet, or no longer: their tables change one after another."""

Json = dict[str, Any]


def upstream(name: str, sights: Sequence[Sight], seen: Seen) -> Json:
    """What anybody may know of an upstream that is on."""
    standings = [sight.upstreams.get(name, UNHEARD) for sight in sights]
    reach = seen.upstreams.get(name, Reach())
    return {
        "name": name,
        "state": _state(standings, reach),
        "breaker": max((each.breaker for each in standings), key=WORST.index, default="closed"),
        "open_until": _open_until(standings),
        "attempts": reach.attempts,
        "error_share": _share(reach.failed, reach.attempts),
        "first_token_ms": _spread(reach.first),
        "total_ms": _spread(reach.whole),
    }


def upstream_off(name: str) -> Json:
    """One that is off, for want of what its configuration needs."""
    nothing = _spread(())
    return {
        "name": name,
        "state": "off",
        "breaker": None,
        "open_until": None,
        "attempts": 0,
        "error_share": None,
        "first_token_ms": nothing,
        "total_ms": nothing,
    }


def upstreams_for_operator(table: Table, sights: Sequence[Sight], seen: Seen) -> list[Json]:
    """All of them, with what stands in their way."""
    found = []
    for name in table.upstreams:
        standings = [sight.upstreams.get(name, UNHEARD) for sight in sights]
        targets: dict[str, str] = {}
        for each in standings:
            targets |= each.targets
        why = next((each.why for each in standings if each.why is not None), None)
        found.append({**upstream(name, sights, seen), "why": why, "targets": targets})
    return found + [{**upstream_off(name), "why": why, "targets": {}} for name, why in table.off.items()]


def minutes(seen: Seen, now_us: int) -> list[Json]:
    """One for each of the last `MINUTES`, the oldest first, those without a call too."""
    by_start = {minute.at_s: minute for minute in seen.minutes}
    last_s = now_us // MICRO // MINUTE_S * MINUTE_S
    starts = range(last_s - MINUTE_S * (MINUTES - 1), last_s + 1, MINUTE_S)
    return [to_builtins(by_start.get(at_s) or Minute(at_s)) for at_s in starts]


def limits_for_operator(overall: Overall) -> list[Json]:
    """Counters by name, with what they stand at."""
    return [_counter(each) for each in overall.counters]


def own_limits(claims: Iterable[Claim], own: Own) -> list[Json]:
    """A caller's own counters, used or not; what is used is the ledger's word, the ceiling the table's."""
    found = []
    for claim in claims:
        used, held = own.stands.get(claim.counter, (0, 0))
        counter = Counter(
            claim.scope,
            *(claim.window, claim.window_end, str(claim.unit)),
            used,
            held,
            claim.ceiling,
            claim.marks,
        )
        found.append(_counter(counter))
    return found


def spent(what: Spent) -> Json:
    """What was spent since a moment."""
    return {"since": moment(what.since_s * MICRO), **to_builtins(what.spend)}


def alert(crossed: Crossed) -> Json:
    """A mark that was crossed; an end person's pseudonym is left out."""
    return {
        "at": moment(crossed.at_us),
        "scope": scopes.masked(crossed.scope),
        "unit": crossed.unit,
        "mark": crossed.mark,
        "used": crossed.used,
        "ceiling": crossed.ceiling,
        "window_start": moment(crossed.window * MICRO),
    }


def call(told: Mapping[str, Any]) -> Json:
    """A call that has ended, as `recent.py` tells it."""
    return {"at": moment(told["ended_us"]), **{key: told[key] for key in told if key != "ended_us"}}


def workers(sights: Iterable[Sight]) -> list[Json]:
    """Each worker, and which upstreams are shut for it: breakers are each worker's own."""
    return [
        {
            "worker": sight.worker,
            "in_flight": sight.in_flight,
            "calls": sum(minute.calls for minute in sight.seen.minutes),
            "draining": sight.draining,
            "shut": [name for name, each in sight.upstreams.items() if each.shut_until_us is not None],
        }
        for sight in sorted(sights, key=lambda sight: sight.worker)
    ]


def moment(at_us: int) -> str:
    """RFC 3339, in UTC, to the second."""
    return datetime.fromtimestamp(at_us // MICRO, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _counter(counter: Counter) -> Json:
    named = scopes.read(counter.scope)
    return {
        "scope": counter.scope,
        "whose": dict(named.whose),
        "unit": counter.unit,
        "every": named.every,
        "tz": named.zone,
        "shadow": named.shadow,
        "used": counter.used,
        "held": counter.held,
        "ceiling": counter.ceiling,
        "remaining": max(0, counter.ceiling - counter.used - counter.held),
        "marks": sorted({*counter.marks, 100}),
        "resets_at": moment(counter.window_end * MICRO) if counter.window_end else None,
    }


def _state(standings: Sequence[Standing], reach: Reach) -> str:
    shut = [each.shut_until_us is not None for each in standings]
    if shut and all(shut):
        return "down"
    failing = reach.attempts >= DEGRADED_FROM and reach.failed >= DEGRADED_SHARE * reach.attempts
    troubled = any(each.targets or each.breaker != "closed" for each in standings)
    return "degraded" if any(shut) or failing or troubled else "up"


def _open_until(standings: Sequence[Standing]) -> str | None:
    """When the first of those that shut it asks again; None: somebody does not shut it."""
    until = [each.shut_until_us for each in standings]
    known = [each for each in until if each is not None]
    return moment(min(known) + MICRO - 1) if known and len(known) == len(until) else None


def _spread(counts: Sequence[int]) -> Json:
    shares = {"p50": percentile(counts, 0.5), "p95": percentile(counts, 0.95)}
    return {name: None if value is None else round(value) for name, value in shares.items()}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
