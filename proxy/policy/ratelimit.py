"""What a caller is told of its limits, in OpenAI's words and headers: what is left, and the refusal.

`book.py` puts the `standing` on every answer; `account.py` raises the `refusal` when a reservation was
not granted. Numbers only: a counter's name may hold a pseudonym, never a person's id.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from proxy.errors import Refused, Told
from proxy.holds import Balance, Claim, Spent
from proxy.policy.periods import HOUR_S, MICRO
from proxy.policy.retry import RETRY_AFTER_MAX_S
from proxy.table import Unit

NANO = 1_000_000_000
SHOWN: Mapping[Unit, tuple[str, str, str]] = {
    unit: (f"x-ratelimit-limit-{unit}", f"x-ratelimit-remaining-{unit}", f"x-ratelimit-reset-{unit}")
    for unit in (Unit.TOKENS, Unit.REQUESTS)
}
"""Units that have headers, and which."""
AT_ONCE_S = 1.0
"""Whoever has too many calls under way may ask again after so long: nobody knows when one ends."""


HELD_UP_S = 5.0
"""Whoever is refused for what others hold may ask again after so long."""


def standing(balances: Iterable[Balance], now_us: int) -> dict[str, str]:
    """What is left, in OpenAI's headers, for an answer that was given all the same.

    Of several limits that count requests (or tokens) the one with the least left is told. Limits of
    upstreams and shadows are the operator's affair, and money has no header.
    """
    tightest: dict[Unit, tuple[int, Claim]] = {}
    for balance in balances:
        claim = balance.claim
        if claim.unit not in SHOWN or claim.upstream is not None or claim.shadow:
            continue
        left = _left(balance)
        known = tightest.get(claim.unit)
        if known is None or left < known[0]:
            tightest[claim.unit] = left, claim
    headers: dict[str, str] = {}
    for left, claim in tightest.values():
        headers.update(_headers(claim, left, _wait_s(claim, now_us)))
    return headers


def refusal(spent: Spent, now_us: int) -> Refused:
    """429 with limit, used, remaining and reset; `insufficient_quota` where an hour's wait is not enough."""
    claim = spent.claim
    if claim.unit is Unit.STREAMS:
        return _too_many_at_once(spent)
    held_up = _held_up(spent)
    wait_s = min(HELD_UP_S, _wait_s(claim, now_us)) if held_up else _wait_s(claim, now_us)
    soon = held_up or claim.window_end - claim.window <= HOUR_S
    possible = claim.amount <= claim.ceiling
    told = Told(
        429,
        _message(spent, _wait_s(claim, now_us)),
        str(claim.unit) if soon and claim.unit is not Unit.NANO_USD else "insufficient_quota",
        "rate_limit_exceeded" if soon else "insufficient_quota",
        retry_after_s=wait_s,
        should_retry=possible and wait_s <= RETRY_AFTER_MAX_S,
        headers=_headers(claim, _left(spent), _wait_s(claim, now_us)),
    )
    return Refused(told)


def _held_up(spent: Spent) -> bool:
    """Whether only what calls in progress hold stands in the way: most of that comes back with their end.

    A request that is held becomes one that was used, so that a count of requests frees nothing.
    """
    claim = spent.claim
    return claim.unit is not Unit.REQUESTS and spent.used + claim.amount <= claim.ceiling


def _too_many_at_once(spent: Spent) -> Refused:
    message = (
        f"Limit {spent.claim.scope} reached: at most {spent.claim.ceiling} calls at once, "
        f"{spent.held} are in progress. One may start when another has ended."
    )
    told = Told(
        429,
        message,
        "requests",
        "rate_limit_exceeded",
        retry_after_s=AT_ONCE_S,
        should_retry=True,
    )
    return Refused(told)


def duration(seconds: float) -> str:
    """As OpenAI's reset headers write it: `12ms`, `6s`, `1m30.5s`, `3h0m1s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{max(0, milliseconds)}ms"
    minutes = milliseconds // 60_000
    tail = f"{milliseconds % 60_000 / 1000:g}s"
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def _left(found: Balance | Spent) -> int:
    return max(0, found.claim.ceiling - found.used - found.held)


def _wait_s(claim: Claim, now_us: int) -> float:
    """Until the window ends."""
    return max(0.0, (claim.window_end * MICRO - now_us) / MICRO)


def _message(spent: Spent, wait_s: float) -> str:
    claim = spent.claim
    reset = datetime.fromtimestamp(claim.window_end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    hint = " It is more than the limit ever allows." if claim.amount > claim.ceiling else ""
    if _held_up(spent):
        hint = " It may fit when calls in progress have ended."
    return (
        f"Limit {claim.scope} reached: limit {_shown(claim.unit, claim.ceiling)}, "
        f"used {_shown(claim.unit, spent.used)}, held by calls in progress {_shown(claim.unit, spent.held)}, "
        f"remaining {_shown(claim.unit, _left(spent))}; "
        f"this call may need {_shown(claim.unit, claim.amount)}.{hint} "
        f"The limit resets at {reset} (in {duration(wait_s)})."
    )


def _shown(unit: Unit, amount: int) -> str:
    """Money to the micro-dollar, cut not rounded: exact in the ledger, readable here."""
    if unit is not Unit.NANO_USD:
        return str(amount)
    return f"USD {amount // NANO}.{amount % NANO // 1000:06d}"


def _headers(claim: Claim, remaining: int, wait_s: float) -> tuple[tuple[str, str], ...]:
    """OpenAI has these for requests and tokens only."""
    names = SHOWN.get(claim.unit)
    if names is None:
        return ()
    limit, left, reset = names
    return (limit, str(claim.ceiling)), (left, str(remaining)), (reset, duration(wait_s))
