"""How many attempts an upstream bears at once, and who is next when it is full.

`health.py` keeps one `Places` for each upstream: an attempt takes a place with its ticket and gives it
back with it. Those who have nowhere else to go stand in line: a line for each tenant, served in turn, so
that a tenant with a thousand calls waits behind its own and not before everybody else's.
"""

from collections import deque
from collections.abc import Callable

from msgspec import Struct, field


def _nobody_waits() -> None:
    """Until whoever stands in line has said how to be woken."""


class Turn(Struct, eq=False):
    """A stand in one upstream's line."""

    upstream: str
    tenant: str
    granted: bool = False
    """A place is kept for it."""
    used: bool = False
    """The place was taken: it comes back with its ticket."""
    wake: Callable[[], None] = field(default=_nobody_waits)
    """Called once, when a place is granted; must be quick and must not raise."""


class Places:
    """The places of one upstream. Without a `limit` there is always one more."""

    __slots__ = ("_lines", "_used", "limit")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._used = 0
        """Taken, or kept for somebody who was granted one."""
        self._lines: dict[str, deque[Turn]] = {}
        """By tenant, the next to be served first."""

    def __repr__(self) -> str:
        return f"Places({self._used}/{self.limit}, {self.waiting} waiting)"

    @property
    def used(self) -> int:
        """How many are taken, or kept for somebody."""
        return self._used

    def twin(self) -> "Places":
        """As many places, as many of them taken, and nobody in line."""
        twin = Places(self.limit)
        twin._used = self._used
        return twin

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(map(len, self._lines.values()))

    @property
    def full(self) -> bool:
        """Whether whoever comes now must wait."""
        return self.limit is not None and self._used >= self.limit

    def take(self, turn: Turn | None = None) -> None:
        """One attempt begins; `turn`: with the place that was granted to it."""
        if turn is None:
            self._used += 1
        else:
            turn.used = True

    def give_back(self) -> None:
        """One attempt has ended."""
        self._used -= 1
        if self._lines:
            self.grant()

    def join(self, turn: Turn) -> None:
        """Stand in line."""
        self._lines.setdefault(turn.tenant, deque()).append(turn)
        self.grant()

    def leave(self, turn: Turn) -> None:
        """Whoever stood in line has gone, with or without having been granted a place."""
        if turn.used:
            return
        if turn.granted:
            turn.granted = False
            self.give_back()
        elif (line := self._lines.get(turn.tenant)) is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[turn.tenant]

    def grant(self) -> None:
        """Give what is free to those in line, one tenant after another."""
        while self._lines and not self.full:
            tenant, line = next(iter(self._lines.items()))
            turn = line.popleft()
            del self._lines[tenant]
            if line:
                self._lines[tenant] = line
            self._used += 1
            turn.granted = True
            turn.wake()
