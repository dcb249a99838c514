"""Which counters must hold a call, how much each, and what it came to.

`book.py` builds reservations and settlements from these pure functions; the ledger only adds and
compares. What a claim holds is an upper bound (`estimate.py`): a reservation that held too little
could overshoot a limit, and what was too much comes back when the call settles.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from proxy.call import Identity
from proxy.holds import SHADOW, Charge, Claim
from proxy.policy.estimate import Estimate
from proxy.policy.matching import fits
from proxy.policy.periods import window
from proxy.policy.selection import Candidate
from proxy.table import Limit, Per, Table, Target, Unit
from proxy.usage import FREE, Price, Usage

AMOUNT_MAX = 2**60
"""No limit is anywhere near these; they keep absurd requests inside a ledger's 64-bit integers."""
SHADOW_AMOUNT_MAX = 2**50
"""No ceiling keeps the sum of what shadows hold inside 64 bits, so each is kept this small."""
_SEPARATORS: Mapping[int, str] = {ord(sign): f"%{ord(sign):02X}" for sign in "%/="}
OF_TOKENS = frozenset({Unit.TOKENS, Unit.NANO_USD})
"""Units whose amount depends on how much is said."""


class Asker(Struct, frozen=True):
    """Who asks for what, as limits see it."""

    identity: Identity
    model: str
    """The name asked for: what filters look at."""
    listed: str
    """The route's own name or glob: what `per: model` counts. Names that callers make up under a glob
    share one counter, or every new name would be a new allowance."""


_NOTHING = (Usage(), 0)


def caps_output(table: Table, asker: Asker) -> bool:
    """Whether a limit counts output, so that a maximum must go upstream where the caller names none."""
    return any(limit.unit in OF_TOKENS and _concerns(limit, asker) for limit in table.limits)


def dearest(candidates: Iterable[Candidate]) -> Price:
    """A price that no candidate exceeds for any kind of token; a target without a price counts as free."""
    return Price.dearest([candidate.target.price or FREE for candidate in candidates])


def caller_claims(
    table: Table, asker: Asker, price_worst: Price | None, estimate: Estimate, wall_us: int
) -> tuple[Claim, ...]:
    """What the limits that can refuse the caller must hold for the call, at the dearest target's price."""
    if not table.caller_limits:
        return ()
    return _claims(table.caller_limits, asker, None, price_worst or FREE, estimate, wall_us)


def target_claims(
    table: Table, asker: Asker, target: Target, estimate: Estimate, wall_us: int
) -> tuple[Claim, ...]:
    """What the limits of one target's upstream must hold for an attempt there."""
    if not table.upstream_limits:
        return ()
    price = target.price or FREE
    return _claims(table.upstream_limits, asker, target.upstream, price, estimate, wall_us)


def own_claims(table: Table, identity: Identity, wall_us: int) -> tuple[Claim, ...]:
    """The counters that are a caller's own, of its tenant or its key alone, with nothing claimed of them.

    Those that others share say what others use, those of end persons are about people, and a shadow
    refuses nobody: none of them is a caller's to see.
    """
    found: dict[str, Claim] = {}
    for limit in table.caller_limits:
        if not _is_own(limit, identity):
            continue
        start, end = (0, 0) if limit.every is None else window(limit.every, wall_us, limit.zone)
        for listed in _listed(table, limit):
            scope = _scope(limit, Asker(identity, listed, listed), None)
            found.setdefault(scope, Claim(scope, start, end, limit.unit, 0, limit.ceiling, limit.marks))
    return tuple(found.values())


def _is_own(limit: Limit, identity: Identity) -> bool:
    if limit.shadow or limit.user is not None or limit.per is Per.USER:
        return False
    named = limit.tenant is not None or limit.key is not None or limit.per in (Per.TENANT, Per.KEY)
    return named and limit.tenant in (None, identity.tenant) and limit.key in (None, identity.key_id)


def _listed(table: Table, limit: Limit) -> Iterable[str]:
    """For which names of routes a limit has a counter each; one that does not look at them has one."""
    if limit.per not in (Per.MODEL, Per.ROUTE):
        return ("",)
    names = dict.fromkeys(route.model for route in table.routes)
    return [
        name
        for name in names
        if limit.route in (None, name) and (limit.model is None or fits(limit.model, name))
    ]


def charges(
    claims: Iterable[Claim], paid: Usage, nano_usd: int, by_upstream: Mapping[str, tuple[Usage, int]]
) -> tuple[Charge, ...]:
    """What each claim really came to; a request counts once something was answered or spent.

    Calls at once are given back whatever came of them.
    """
    used = bool(by_upstream) or paid.total > 0 or nano_usd > 0
    found = []
    for claim in claims:
        usage, cost, counts = paid, nano_usd, used
        if claim.upstream is not None:
            counts = claim.upstream in by_upstream
            usage, cost = by_upstream.get(claim.upstream, _NOTHING)
        lasting = claim.unit is not Unit.STREAMS
        amount = _amount(claim.unit, usage.total, cost) if counts and lasting else 0
        found.append(Charge(claim.scope, claim.window, amount))
    return tuple(found)


def _concerns(limit: Limit, asker: Asker) -> bool:
    """Whether the limit's filters let this call in, wherever it is answered."""
    return (
        limit.tenant in (None, asker.identity.tenant)
        and limit.user in (None, asker.identity.user)
        and limit.key in (None, asker.identity.key_id)
        and limit.route in (None, asker.listed)
        and (limit.model is None or fits(limit.model, asker.model))
    )


def _claims(
    limits: Iterable[Limit],
    asker: Asker,
    upstream: str | None,
    price: Price,
    estimate: Estimate,
    wall_us: int,
) -> tuple[Claim, ...]:
    """One claim for each counter; of two limits on one counter the lower ceiling rules, which comes first."""
    found: dict[str, Claim] = {}
    tokens = estimate.total
    worst = price.worst(estimate.input_tokens, estimate.output_tokens)
    for limit in limits:
        if limit.upstream not in (None, upstream) or not _concerns(limit, asker):
            continue
        scope = _scope(limit, asker, upstream)
        if scope in found:
            continue
        start, end = (0, 0) if limit.every is None else window(limit.every, wall_us, limit.zone)
        amount = _amount(limit.unit, tokens, worst)
        if limit.shadow:
            amount = min(amount, SHADOW_AMOUNT_MAX)
        found[scope] = Claim(
            scope,
            start,
            end,
            limit.unit,
            amount,
            limit.ceiling,
            limit.marks,
            upstream,
            shadow=limit.shadow,
        )
    return tuple(found.values())


def _scope(limit: Limit, asker: Asker, upstream: str | None) -> str:
    """The counter's name: whom it counts for, the filters, the unit, the window.

    It must stay the same from one version to the next, or a limit would start anew within its window.
    Under `per: user` the calls of a tenant that name nobody share one counter, `user=`: leaving the
    name out is no way around the limit.
    """
    who, per = asker.identity, limit.per
    tenant = who.tenant if per is Per.TENANT or per is Per.USER else limit.tenant
    user = who.user or "" if per is Per.USER else limit.user
    key = who.key_id if per is Per.KEY else limit.key
    model = asker.listed if per is Per.MODEL else limit.model
    route = asker.listed if per is Per.ROUTE else limit.route
    upstream = upstream if per is Per.UPSTREAM else limit.upstream
    whose = "" if tenant is None else f"/tenant={escaped(tenant)}"
    if user is not None:
        whose += f"/user={escaped(user)}"
    if key is not None:
        whose += f"/key={escaped(key)}"
    if model is not None:
        whose += f"/model={escaped(model)}"
    if route is not None:
        whose += f"/route={escaped(route)}"
    if upstream is not None:
        whose += f"/upstream={escaped(upstream)}"
    scope = f"{whose[1:] or 'all'}/{limit.unit}"
    if limit.every is not None:
        scope += f"/{limit.every}"
    if limit.zone is not None:
        scope += f"@{escaped(limit.zone.key)}"
    return scope + SHADOW if limit.shadow else scope


def escaped(value: str) -> str:
    """Names may hold our separators; escaped, no two counters can share a scope."""
    return value.translate(_SEPARATORS)


def _amount(unit: Unit, tokens: int, nano_usd: int) -> int:
    if unit not in OF_TOKENS:
        return 1
    return min(max(0, tokens if unit is Unit.TOKENS else nano_usd), AMOUNT_MAX)
