"""The pauses of a stream: how long after one piece of an answer the next was passed on.

The story tells of each piece; what is kept does not grow with their number. Pure, like all of the ground.
"""

from bisect import bisect_left
from functools import partial

from msgspec import Struct, field

BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds by which they are sorted."""


class Pauses(Struct, frozen=True):
    """Those of one stream."""

    counts: tuple[int, ...]
    """How many took up to each of `BOUNDS_S` and longer than the one before; the last: longer."""
    total_s: float


class Metronome(Struct):
    """Keeps them while the stream lasts."""

    last: float | None = None
    """When a piece was last passed on, had its caller not been waited for since."""
    counts: list[int] = field(default_factory=partial(list, (0,) * (len(BOUNDS_S) + 1)))
    total_s: float = 0.0

    def passed(self, now: float) -> None:
        """A piece was passed on."""
        if self.last is not None:
            pause = now - self.last
            self.counts[bisect_left(BOUNDS_S, pause)] += 1
            self.total_s += pause
        self.last = now

    def waited(self, seconds: float) -> None:
        """The caller was slow: that is no pause of the upstream's."""
        if self.last is not None:
            self.last += seconds

    def told(self) -> Pauses:
        """All of them so far."""
        return Pauses(tuple(self.counts), self.total_s)
