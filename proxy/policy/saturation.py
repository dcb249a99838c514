"""Whether an upstream has more waiting than it should, as far as it says itself.

`health.py` keeps one for each upstream that tells how busy it is; readings come from `duties/load.py`.
Requests that wait there are served late wherever the fault lies, so that is what counts: many that run, or
a cache that is full, are an engine well used. It must never take an upstream out for a reading that is
old: who cannot be read is believed to be well.
"""

from proxy.call import Load
from proxy.policy.breaker import PROBE_WAIT_S
from proxy.table import LoadRules

RELIEVED = 0.5
"""Saturated, it is well again once no more than this part of the mark is left waiting."""
MISSED = 3
"""A reading is old when so many more should have come since."""
OLD_S = 3.0
"""No reading is old before this, however often they are taken."""


class Saturation:
    """What one upstream last said, and what follows."""

    __slots__ = ("_at", "_load", "_over", "rules")

    def __init__(self, rules: LoadRules) -> None:
        self.rules = rules
        self._load: Load | None = None
        self._at = 0.0
        self._over = False

    def heard(self, load: Load, now: float) -> None:
        """It has told how busy it is."""
        before = self._over and self.load(now) is not None
        mark = self.rules.waiting
        self._over = load.waiting > mark * RELIEVED if before else load.waiting >= mark
        self._load, self._at = load, now

    def load(self, now: float) -> Load | None:
        """What it said, unless that is old or it said nothing yet."""
        old_s = max(MISSED * self.rules.every_s, OLD_S)
        return self._load if now < self._at + old_s else None

    def until(self, now: float) -> float | None:
        """None: it may be asked; else when to look again, which is when the next reading is due."""
        if not self._over or self.load(now) is None:
            return None
        return max(self._at + self.rules.every_s, now + PROBE_WAIT_S)
