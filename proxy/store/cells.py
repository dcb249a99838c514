"""A table as one transaction knows it: what was read of it, what became of that, and the way back.

`batched.py` keeps one for each table that a batch reads and changes. Nothing here asks a database.
"""

from typing import Any, NamedTuple, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Before(NamedTuple):
    """How a cell was before a change."""

    cells: "Cells[Any, Any]"
    key: Any
    known: bool
    value: Any
    changed: bool


Log = list[Before]
"""What was there before each change, the oldest first."""


class Cells(dict[K, V]):
    """Values by key. What was read is put in plainly; what is changed, through `put`."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._changed: set[K] = set()

    def put(self, key: K, value: V) -> None:
        """Change a value, whether or not it was read."""
        self._log.append(Before(self, key, key in self, self.get(key), key in self._changed))
        self[key] = value
        self._changed.add(key)

    def take_changes(self) -> dict[K, V]:
        """Everything that was changed, as it is now; from now on it counts as read."""
        if not self._changed:
            return {}
        changed, self._changed = self._changed, set()
        return {key: self[key] for key in changed}

    def restore(self, before: Before) -> None:
        """Take back one change."""
        if before.known:
            self[before.key] = before.value
        else:
            del self[before.key]
        if not before.changed:
            self._changed.discard(before.key)


def roll_back(log: Log, length: int) -> None:
    """Take back all changes but the first ones."""
    while len(log) > length:
        before = log.pop()
        before.cells.restore(before)
