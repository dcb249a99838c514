"""What counters must hold for a call, how much each, and what it came to.

`book.py` builds reservations and settlements from these pure functions; the ledger only adds and
compares. What a claim holds is an upper bound (`estimate.py`): a reservation that held too little
could overshoot a limit, and what was too much comes back when the call settles.
"""

from collections.abc import Iterable, Mapping

from proxy.call import Identity
from proxy.holds import Charge, Claim
from proxy.policy.estimate import Estimate
from proxy.policy.matching import fits
from proxy.policy.meters import Asker, Limits, Meter
from proxy.policy.periods import MICRO
from proxy.table import Limit, Per, Table, Unit
from proxy.usage import Usage

AMOUNT_MAX = 2**60
"""No limit is anywhere near these; they keep absurd requests inside a ledger's 64-bit integers."""
SHADOW_AMOUNT_MAX = 2**50
"""No ceiling keeps the sum of what shadows hold inside 64 bits, so each is kept this small."""
_PLACES: Mapping[Unit, int] = {Unit.REQUESTS: 0, Unit.TOKENS: 1, Unit.NANO_USD: 2, Unit.STREAMS: 3}
"""Where the amount of each unit stands."""
_UNUSED = (0, 0, 0, 0)


def claims(
    meters: Iterable[Meter], asker: Asker, estimate: Estimate, nano_usd: int, wall_us: int
) -> tuple[Claim, ...]:
    """What those of `meters` that concern a call must hold for it, which costs `nano_usd` at most.

    One claim for each counter; of two limits on one counter the lower ceiling rules, which comes first.
    """
    amounts = _amounts(estimate.input_tokens + estimate.output_tokens, nano_usd, streams=1)
    names, second = asker.names, wall_us // MICRO
    found: dict[str, Claim] = {}
    for meter in meters:
        if meter.narrow and not meter.concerns(asker):
            continue
        amount = amounts[_PLACES[meter.limit.unit]]
        if meter.limit.shadow:
            amount = min(amount, SHADOW_AMOUNT_MAX)
        claim = meter.claim(names, amount, second)
        found.setdefault(claim.scope, claim)
    return tuple(found.values())


def own_claims(table: Table, identity: Identity, wall_us: int) -> tuple[Claim, ...]:
    """The counters that are a caller's own, of its tenant or its key alone, with nothing claimed of them.

    Those that others share say what others use, those of end persons are about people, and a shadow
    refuses nobody: none of them is a caller's to see.
    """
    found: dict[str, Claim] = {}
    for meter in Limits.of(table).upon(identity).callers:
        if not _is_own(meter.limit):
            continue
        for listed in _listed(table, meter.limit):
            claim = meter.claim(Asker(identity, listed, listed).names, 0, wall_us // MICRO)
            found.setdefault(claim.scope, claim)
    return tuple(found.values())


def _is_own(limit: Limit) -> bool:
    """Of a limit that is upon a caller: whether nobody else is counted by it."""
    if limit.shadow or limit.user is not None or limit.per is Per.USER:
        return False
    return limit.tenant is not None or limit.key is not None or limit.per in (Per.TENANT, Per.KEY)


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
    held: Iterable[Claim], paid: Usage, nano_usd: int, by_upstream: Mapping[str, tuple[Usage, int]]
) -> tuple[Charge, ...]:
    """What each claim really came to; a request counts once something was answered or spent.

    Calls at once are given back whatever came of them.
    """
    tokens = paid.input + paid.output
    used = bool(by_upstream) or tokens > 0 or nano_usd > 0
    whole = _amounts(tokens, nano_usd, streams=0) if used else _UNUSED
    found = []
    for claim in held:
        amounts = whole
        if claim.upstream is not None:
            known = by_upstream.get(claim.upstream)
            amounts = _UNUSED if known is None else _amounts(known[0].total, known[1], streams=0)
        found.append(Charge(claim.scope, claim.window, amounts[_PLACES[claim.unit]]))
    return tuple(found)


def _amounts(tokens: int, nano_usd: int, *, streams: int) -> tuple[int, int, int, int]:
    """Of one request, each in its place; none is negative, or too much for a ledger."""
    if not 0 <= tokens <= AMOUNT_MAX:
        tokens = min(max(0, tokens), AMOUNT_MAX)
    if not 0 <= nano_usd <= AMOUNT_MAX:
        nano_usd = min(max(0, nano_usd), AMOUNT_MAX)
    return 1, tokens, nano_usd, streams
