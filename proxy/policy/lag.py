"""Whether this process has more to do than it gets done, told by how late its own loop is.

`duties/lag.py` says how late it woke, `server/gate.py` asks whether whoever comes now is let in. One long
step, a pause of the machine or a burst that is over soon is no overload: only a loop that was late at every
look for a while has work standing. Once it turns callers away it does so until it has been quick for a
while, at a lower mark, so that it does not change its mind with every look. Nothing here reads a clock.
"""

STANDING_S = 1.0
"""Late at every look for so long, it turns callers away."""
CALM_S = 1.0
"""Quick at every look for so long, it takes them again."""
CALM = 0.5
"""Quick is less than this part of what is late."""


class Lag:
    """How late the loop is, and whether that is too much."""

    __slots__ = ("_calm_since", "_late_since", "_most_s", "now_s", "shedding")

    def __init__(self, most_s: float | None) -> None:
        """`most_s`: from this on it is late; None: nobody is ever turned away."""
        self._most_s = most_s
        self._late_since: float | None = None
        self._calm_since: float | None = None
        self.now_s = 0.0
        """How late it was when last looked at."""
        self.shedding = False
        """Whether callers are turned away."""

    def looked(self, late_s: float, now: float) -> bool:
        """Take note of how late it is; whether `shedding` has changed by that."""
        self.now_s = late_s
        if self._most_s is None:
            return False
        self._late_since = _since(self._late_since, now, holds=late_s >= self._most_s)
        self._calm_since = _since(self._calm_since, now, holds=late_s < self._most_s * CALM)
        since, enough_s = (self._calm_since, CALM_S) if self.shedding else (self._late_since, STANDING_S)
        if since is None or now - since < enough_s:
            return False
        self.shedding = not self.shedding
        return True


def _since(before: float | None, now: float, *, holds: bool) -> float | None:
    """When something that `holds` began to; None: it does not."""
    if not holds:
        return None
    return now if before is None else before
