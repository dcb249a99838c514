"""How long to wait before the same target is asked again.

Called by `health.py` for cool-downs and by `plan.py` for retries in place. Waits that an upstream
asks for are believed only within bounds; waits of our own are drawn with full jitter, so that many
callers who failed together do not return together.
"""

import math

RETRY_AFTER_MAX_S = 120.0
"""OpenAI's SDKs ignore a longer one and give up; so an upstream is not believed beyond it."""
IN_PLACE_MAX_S = 1.0
"""A caller who waits for one target longer than this is better served by the next."""
BACKOFF_FIRST_S = 0.25


def clamp(retry_after_s: float | None) -> float | None:
    """An upstream's Retry-After within [0, 120] s; None if it gave none that is a number."""
    if retry_after_s is None or math.isnan(retry_after_s):
        return None
    return min(max(retry_after_s, 0.0), RETRY_AFTER_MAX_S)


def backoff(failures: int, roll: float, *, first_s: float = BACKOFF_FIRST_S, cap_s: float) -> float:
    """Full jitter: uniform between nothing and a bound that doubles with each failure up to `cap_s`."""
    doublings = min(max(failures - 1, 0), 32)
    return roll * min(cap_s, first_s * 2.0**doublings)


def in_place(ready: float, now: float, deadline: float, most_s: float) -> bool:
    """Whether a target is ready again soon enough to be waited for, and before the deadline."""
    return ready <= now + most_s and ready < deadline
