"""A table as one transaction knows it: what was read of it, what became of that, and the way back.

`batched.py` keeps one for each table that a batch reads and changes. Nothing here asks a database.
"""

from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

Before = tuple["Cells[Any, Any]", Any, Any]
"""How a cell was before a change: of which table, its key, its value or `UNKNOWN`. A plain tuple, for there
is one for every change and hardly one is ever read."""

Log = list[Before]
"""What was there before each change, the oldest first."""


UNKNOWN: Final = object()
"""The value of a cell that nobody has read or changed."""


class Cells(dict[K, V]):
    """Values by key. What was read is put in plainly; what is changed, through `put`."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._changed: set[K] = set()

    def put(self, key: K, value: V) -> None:
        """Change a value, whether or not it was read."""
        self._log.append((self, key, self.get(key, UNKNOWN)))
        self[key] = value
        self._changed.add(key)

    def take_changes(self) -> dict[K, V]:
        """Everything that was changed, as it is now; from now on it counts as read.

        What was changed and taken back is among it, as it was: to write that once more changes nothing.
        """
        if not self._changed:
            return {}
        changed, self._changed = self._changed, set()
        return {key: self[key] for key in changed if key in self}

    def restore(self, key: K, value: V) -> None:
        """Take back one change."""
        if value is UNKNOWN:
            del self[key]
        else:
            self[key] = value


def roll_back(log: Log, length: int) -> None:
    """Take back all changes but the first ones."""
    while len(log) > length:
        cells, *before = log.pop()
        cells.restore(*before)
