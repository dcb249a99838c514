"""How long an upstream asks us to wait, in every form that upstreams use.

`errors.py` calls `wait` on the head of a refusal. There is no clock here: a date is read against
the answer's own `date` header, and ignored without one. What cannot be understood is ignored, for
a wrong wait is worse than none. Clamping is the policy's.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_STEP = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_SECONDS: Mapping[str, float] = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_LONGEST = 64
"""Characters; no honest value is longer."""
_RESETS = ("requests", "tokens")
_DATED = ("requests", "tokens", "input-tokens", "output-tokens")
_MINUTES = ("req-minute", "tokens-minute")
_MINUTE_S = 60.0


def wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until the upstream wants to be asked again (header names in lower case), or None."""
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = number(text)
    return seconds if seconds is not None else _until(text, headers.get("date"))


def reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the spent rate-limit windows of a refusal without Retry-After are open again.

    Some tell a duration, some a time (read against the answer's own), some only that the minute's share
    is gone, which a minute mends. A window known to have something left is not what is waited for.
    """
    waits = [
        *(
            duration(text)
            for text in _spent(headers, "x-ratelimit-remaining-{}", "x-ratelimit-reset-{}", _RESETS)
        ),
        *(
            _moment(text, headers.get("date"))
            for text in _spent(
                headers, "anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset", _DATED
            )
        ),
        *(_MINUTE_S for name in _MINUTES if number(headers.get(f"x-ratelimit-remaining-{name}")) == 0.0),
    ]
    return max((seconds for seconds in waits if seconds is not None), default=None)


def number(text: str | None) -> float | None:
    """A plain finite number that is not negative."""
    if text is None or len(text) > _LONGEST or _NUMBER.fullmatch(text.strip()) is None:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def duration(text: str | None) -> float | None:
    """`1m30.5s`, `12ms`, `6m0s` in seconds; a bare number counts seconds."""
    if text is None or len(text) > _LONGEST:
        return None
    text = text.strip()
    steps = _STEP.findall(text)
    if not steps or "".join(amount + unit for amount, unit in steps) != text:
        return number(text)
    return sum(float(amount) * _SECONDS[unit] for amount, unit in steps)


def _spent(headers: Mapping[str, str], left: str, opens: str, names: tuple[str, ...]) -> list[str | None]:
    """What is said of when they open by the windows of which nothing is left, or nobody knows what."""
    return [
        headers.get(opens.format(name))
        for name in names
        if number(headers.get(left.format(name))) in {None, 0.0}
    ]


def _moment(text: str | None, now: str | None) -> float | None:
    """A time as RFC 3339 writes it, in seconds from the answer's own date."""
    since = _date(now)
    if text is None or since is None or len(text) > _LONGEST:
        return None
    try:
        then = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return max(0.0, (then - since).total_seconds()) if then.tzinfo is not None else None


def _until(text: str | None, now: str | None) -> float | None:
    then, since = _date(text), _date(now)
    if then is None or since is None:
        return None
    seconds = (then - since).total_seconds()
    return seconds if seconds >= 0 else None


def _date(text: str | None) -> datetime | None:
    if text is None or len(text) > _LONGEST:
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
