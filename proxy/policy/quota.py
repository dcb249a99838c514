"""What a call may cost at most, which counters must hold that, and what it came to.

`book.py` builds reservations and settlements from these pure functions; the ledger only adds and
compares. The estimate is an upper bound, never a guess: a reservation that held too little could
overshoot a limit (what was too much comes back when the call settles). When a limit is spent,
`relay.py` raises the `refusal`: numbers, in OpenAI's words and headers.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from proxy.call import Call, Identity
from proxy.errors import Refused, Told
from proxy.policy.matching import fits
from proxy.policy.retry import RETRY_AFTER_MAX_S
from proxy.policy.selection import Candidate
from proxy.ports import Charge, Claim, Spent
from proxy.table import Every, Limit, Per, Route, Table, Target, Unit
from proxy.usage import FREE, Price, Usage

MINUTE_S = 60
DAY_S = 86_400
MICRO = 1_000_000
NANO = 1_000_000_000
BASE_TOKENS = 32
"""What a chat template adds around the whole prompt."""
MESSAGE_TOKENS = 16
"""What it adds around one message or tool."""
IMAGE_TOKENS = 50_000
"""The most that one image is counted as by a known model (gpt-4o-mini at high detail: 48 169)."""
_BYTES = frozenset({"type", "text", "refusal", "input_audio"})
"""Members of a content part that is no image."""
TOKENS_MAX = 10**12
AMOUNT_MAX = 2**60
"""No limit is anywhere near these; they keep absurd requests inside a ledger's 64-bit integers."""


def window(every: Every, wall_us: int) -> tuple[int, int]:
    """Start and end, in Unix seconds, of the UTC calendar window that holds `wall_us`."""
    second = wall_us // MICRO
    if every is Every.MONTH:
        start = datetime.fromtimestamp(second, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        return int(start.timestamp()), int(after.timestamp())
    length = MINUTE_S if every is Every.MINUTE else DAY_S
    start_s = second - second % length
    return start_s, start_s + length


@dataclass(frozen=True, slots=True)
class Estimate:
    """Upper bounds on what a call can use."""

    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        """What token limits hold."""
        return self.input_tokens + self.output_tokens


def estimate(call: Call, route: Route) -> Estimate:
    """The most tokens that `call` can use on `route`, wherever it is answered.

    No tokenizer makes more tokens than bytes; what the bytes do not show (templates, images, tools
    printed anew) is added.
    """
    defaults = route.defaults
    added = len(repr(dict(defaults)).encode()) if defaults else 0
    around = BASE_TOKENS + sum(_message_tokens(message) for message in _list(call.body.get("messages")))
    prompt = call.prompt_bytes + added + around + _tool_tokens(call.body)
    output = _choices(call.body, defaults) * _cap(call.body, route)
    return Estimate(prompt, min(output, TOKENS_MAX))


def _message_tokens(message: Any) -> int:
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return MESSAGE_TOKENS
    images = sum(1 for part in content if _may_be_image(part))
    return MESSAGE_TOKENS * (1 + len(content)) + IMAGE_TOKENS * images


def _may_be_image(part: Any) -> bool:
    """Some upstreams need no `type`, or have more of them; text and sound cost no more than their bytes."""
    return isinstance(part, Mapping) and not _BYTES.issuperset(part)


def _tool_tokens(body: Mapping[str, Any]) -> int:
    """Templates print tools anew, indented: more tokens than the caller's compact bytes."""
    tools = _list(body.get("tools")) + _list(body.get("functions"))
    return len(repr(tools).encode()) + MESSAGE_TOKENS * len(tools) if tools else 0


def _choices(body: Mapping[str, Any], defaults: Mapping[str, Any]) -> int:
    return _count(body.get("n", defaults.get("n"))) or 1


def _cap(body: Mapping[str, Any], route: Route) -> int:
    """The larger one if both spellings are given: which of them is sent depends on the upstream."""
    for members in (body, route.defaults):
        named = max(_count(members.get(name)) for name in ("max_completion_tokens", "max_tokens"))
        if named:
            return named
    return route.max_output_tokens


def _count(value: Any) -> int:
    """A number as lenient upstreams read it: `1e5` and `"100_000"` pass for integers there."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        number = value if isinstance(value, int) else math.ceil(float(value))
    except (ValueError, OverflowError):
        return 0
    return max(0, number)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for what, as limits see it."""

    identity: Identity
    model: str
    """The name asked for: what filters look at."""
    listed: str
    """The route's own name or glob: what `per: model` counts. Names that callers make up under a glob
    share one counter, or every new name would be a new allowance."""


def caps_output(table: Table, asker: Asker) -> bool:
    """Whether a limit counts output, so that a maximum must go upstream where the caller names none."""
    return any(limit.unit is not Unit.REQUESTS and _concerns(limit, asker) for limit in table.limits)


def dearest(candidates: Iterable[Candidate]) -> Price:
    """A price that no candidate exceeds for any kind of token; a target without a price counts as free."""
    return Price.dearest([candidate.target.price or FREE for candidate in candidates])


def caller_claims(
    table: Table, asker: Asker, price_worst: Price | None, estimate: Estimate, wall_us: int
) -> tuple[Claim, ...]:
    """What the limits that can refuse the caller must hold for the call, at the dearest target's price."""
    mine = [one for one in table.limits if not one.of_upstream and _concerns(one, asker)]
    names = _Names(asker.identity.tenant, asker.identity.key_id, asker.listed, None)
    return _claims(mine, names, price_worst or FREE, estimate, wall_us)


def target_claims(
    table: Table, asker: Asker, target: Target, estimate: Estimate, wall_us: int
) -> tuple[Claim, ...]:
    """What the limits of one target's upstream must hold for an attempt there."""
    its = [
        one
        for one in table.limits
        if one.of_upstream and one.upstream in (None, target.upstream) and _concerns(one, asker)
    ]
    names = _Names(asker.identity.tenant, asker.identity.key_id, asker.listed, target.upstream)
    return _claims(its, names, target.price or FREE, estimate, wall_us)


def charges(
    claims: Iterable[Claim], paid: Usage, nano_usd: int, by_upstream: Mapping[str, tuple[Usage, int]]
) -> tuple[Charge, ...]:
    """What each claim really came to; a request counts once something was answered or spent."""
    used = bool(by_upstream) or paid.total > 0 or nano_usd > 0
    found = []
    for claim in claims:
        usage, cost, counts = paid, nano_usd, used
        if claim.upstream is not None:
            counts = claim.upstream in by_upstream
            usage, cost = by_upstream.get(claim.upstream, (Usage(), 0))
        amount = _amount(claim.unit, usage.total, cost) if counts else 0
        found.append(Charge(claim.scope, claim.window, amount))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Names:
    """Who and what a call's counters are named after."""

    tenant: str
    key: str
    model: str
    upstream: str | None


def _concerns(limit: Limit, asker: Asker) -> bool:
    """Whether the limit's filters let this call in (its upstream filter aside)."""
    return (
        limit.tenant in (None, asker.identity.tenant)
        and limit.key in (None, asker.identity.key_id)
        and (limit.model is None or fits(limit.model, asker.model))
    )


def _claims(
    limits: Iterable[Limit], names: _Names, price: Price, estimate: Estimate, wall_us: int
) -> tuple[Claim, ...]:
    """One claim for each counter; of two limits on one counter the lower ceiling rules."""
    found: dict[str, Claim] = {}
    worst = price.worst(estimate.input_tokens, estimate.output_tokens)
    for limit in sorted(limits, key=lambda one: one.ceiling):
        start, end = window(limit.every, wall_us)
        scope = _scope(limit, names)
        amount = _amount(limit.unit, estimate.total, worst)
        upstream = names.upstream if limit.of_upstream else None
        claim = Claim(scope, start, end, limit.unit, amount, limit.ceiling, limit.marks, upstream)
        found.setdefault(scope, claim)
    return tuple(found.values())


def _scope(limit: Limit, names: _Names) -> str:
    """The counter's name: whom it counts for, the filters, the unit, the window.

    It must stay the same from one version to the next, or a limit would start anew within its window.
    """
    parts = [
        _part("tenant", names.tenant if limit.per is Per.TENANT else limit.tenant),
        _part("key", names.key if limit.per is Per.KEY else limit.key),
        _part("model", names.model if limit.per is Per.MODEL else limit.model),
        _part("upstream", names.upstream if limit.per is Per.UPSTREAM else limit.upstream),
    ]
    whose = "/".join(part for part in parts if part) or "all"
    return f"{whose}/{limit.unit}/{limit.every}"


def _part(name: str, value: str | None) -> str:
    """Names may hold our separators; escaped, no two counters can share a scope."""
    if value is None:
        return ""
    return f"{name}={value.replace('%', '%25').replace('/', '%2F').replace('=', '%3D')}"


def _amount(unit: Unit, tokens: int, nano_usd: int) -> int:
    amounts = {Unit.TOKENS: tokens, Unit.REQUESTS: 1, Unit.NANO_USD: nano_usd}
    return min(max(0, amounts[unit]), AMOUNT_MAX)


def refusal(spent: Spent, now_us: int) -> Refused:
    """429 with limit, used, remaining and reset; `insufficient_quota` where only a new day helps."""
    claim = spent.claim
    wait_s = max(0.0, (claim.window_end * MICRO - now_us) / MICRO)
    soon = claim.window_end - claim.window <= MINUTE_S
    possible = claim.amount <= claim.ceiling
    told = Told(
        429,
        _message(spent, wait_s),
        str(claim.unit) if soon and claim.unit is not Unit.NANO_USD else "insufficient_quota",
        "rate_limit_exceeded" if soon else "insufficient_quota",
        retry_after_s=wait_s,
        should_retry=possible and wait_s <= RETRY_AFTER_MAX_S,
        headers=_headers(claim, _remaining(spent), wait_s),
    )
    return Refused(told)


def duration(seconds: float) -> str:
    """As OpenAI's reset headers write it: `12ms`, `6s`, `1m30.5s`, `3h0m1s`."""
    milliseconds = max(0, round(seconds * 1000))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def _remaining(spent: Spent) -> int:
    return max(0, spent.claim.ceiling - spent.used - spent.held)


def _message(spent: Spent, wait_s: float) -> str:
    claim = spent.claim
    reset = datetime.fromtimestamp(claim.window_end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    too_big = " It is more than the limit ever allows." if claim.amount > claim.ceiling else ""
    return (
        f"Limit {claim.scope} reached: limit {_shown(claim.unit, claim.ceiling)}, "
        f"used {_shown(claim.unit, spent.used)}, held by calls in progress {_shown(claim.unit, spent.held)}, "
        f"remaining {_shown(claim.unit, _remaining(spent))}; "
        f"this call may need {_shown(claim.unit, claim.amount)}.{too_big} "
        f"The limit resets at {reset} (in {duration(wait_s)})."
    )


def _shown(unit: Unit, amount: int) -> str:
    """Money to the micro-dollar, cut not rounded: exact in the ledger, readable here."""
    if unit is not Unit.NANO_USD:
        return str(amount)
    return f"USD {amount // NANO}.{amount % NANO // 1000:06d}"


def _headers(claim: Claim, remaining: int, wait_s: float) -> tuple[tuple[str, str], ...]:
    """OpenAI has these for requests and tokens only."""
    if claim.unit is Unit.NANO_USD:
        return ()
    return (
        (f"x-ratelimit-limit-{claim.unit}", str(claim.ceiling)),
        (f"x-ratelimit-remaining-{claim.unit}", str(remaining)),
        (f"x-ratelimit-reset-{claim.unit}", duration(wait_s)),
    )
