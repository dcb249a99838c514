"""A table as one transaction knows it: what was read of it, what became of that, and the way back.

`tables.py` keeps one for each table that a batch reads and changes. Nothing here asks the server.
"""

from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")

Log = list[tuple[dict[Any, Any], Any, Any]]
"""What was there before each change, the oldest first."""


class Cells(dict[K, V]):
    """Values by key. What was read is put in plainly; what is changed, through `put`."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._changed: set[K] = set()

    def put(self, key: K, value: V) -> None:
        """Change a value that was read, or known not to be there."""
        self._log.append((self, key, self.get(key)))
        self[key] = value
        self._changed.add(key)

    def take_changes(self) -> dict[K, V]:
        """Everything that was changed, as it is now; from now on it counts as read."""
        changed, self._changed = self._changed, set()
        return {key: self[key] for key in changed}


def roll_back(log: Log, length: int) -> None:
    """Take back all changes but the first ones."""
    while len(log) > length:
        cells, key, before = log.pop()
        cells[key] = before
