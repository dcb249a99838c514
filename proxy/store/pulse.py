"""How long the ledger's commits take: what its writer counts, and whoever watches it reads.

Written by the writer's thread and read by others without a lock: each number is whole by itself, and a reader
who comes in between misses one commit at most.
"""

from bisect import bisect_left

from proxy.holds import COMMIT_BOUNDS_S


class Commits:
    """The commits of one writer, sorted by what they took."""

    def __init__(self) -> None:
        self._counts = [0] * (len(COMMIT_BOUNDS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(COMMIT_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    @property
    def counts(self) -> tuple[int, ...]:
        """How many took up to each of the bounds and longer than the one before; the last: longer."""
        return tuple(self._counts)
