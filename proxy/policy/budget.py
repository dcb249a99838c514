"""How many second tries one upstream may be given: a share of its recent calls, and a few in any case.

`health.py` keeps one for each upstream. Retries are cheap while an upstream stumbles and ruinous while it
falls: every caller who tries again doubles what it must refuse. So they are paid for out of what first
tries bring in, and both fade, since calls of an hour ago justify no retry now.
"""

SHARE = 0.2
LEAST = 3
"""Second tries that are there even where nobody has called."""
HALF_S = 30.0
"""After so long a call or a retry counts half. More than most answers take: slow ones are not forgotten."""
STEP_S = 0.1
"""They fade in steps of so long: what is less changes nothing that could be told from chance."""


class RetryBudget:
    """First and second tries at one upstream, fading."""

    __slots__ = ("_at", "_calls", "_retries")

    def __init__(self) -> None:
        self._at = 0.0
        self._calls = 0.0
        self._retries = 0.0

    def __repr__(self) -> str:
        return f"RetryBudget(calls={self._calls:.1f} retries={self._retries:.1f} at={self._at:g})"

    def allows(self, now: float) -> bool:
        """Whether a second try may be made now."""
        if now >= self._at + STEP_S:
            self._fade(now)
        return self._retries + 1 <= max(LEAST, SHARE * self._calls)

    def tried(self, now: float, *, again: bool) -> None:
        """A try is made; `again`: it is not the first for its caller."""
        if now >= self._at + STEP_S:
            self._fade(now)
        if again:
            self._retries += 1
        else:
            self._calls += 1

    def _fade(self, now: float) -> None:
        left = 0.5 ** ((now - self._at) / HALF_S)
        self._calls *= left
        self._retries *= left
        self._at = now
