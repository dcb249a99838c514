"""What a ledger's file stands on: the name by which the next start will look for it, and room on its disk.

`backing.py` asks before each batch. SQLite writes on into a file that was removed or replaced under it, and
says that all is well; a row that nobody will find again must not be acknowledged. And a full disk may take
a page where it takes no batch: it is not believed to have room because one small write went well.
"""

import os
from pathlib import Path

import apsw

from proxy.store.fault import StoreRefused
from proxy.store.sqlite.remedies import ROOM, lacks_room

ROOM_BYTES = 1024 * 1024
"""Free on a disk that was full before anything is written there again: many batches."""

PUT_BACK = "put it back, with its -wal, or stop the proxy: what is written to it now nobody would find"

Mark = tuple[int, int] | None
"""Device and number of the file of a name; None: there is none."""


class Footing:
    """The names of one file that is open, and whether its disk was full when it was last asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = (str(path), f"{path.resolve()}-wal")
        """Of a link SQLite keeps the WAL beside the file that it leads to."""
        self._cramped = False
        self.opened()

    def opened(self) -> None:
        """The file has just been opened by this name, and found to be ours."""
        self._marks = [_mark(name) for name in self._names]

    def look(self) -> None:
        """Raises `StoreRefused` if nothing may be written now."""
        if [_mark(name) for name in self._names] != self._marks:
            raise StoreRefused(self._path, "it is gone, or another file has taken its place", PUT_BACK)
        if self._cramped:
            if free_bytes(self._path) < ROOM_BYTES:
                raise StoreRefused(self._path, "its disk is full", ROOM)
            self._cramped = False

    def met(self, error: Exception) -> None:
        """What a batch failed by."""
        if isinstance(error, apsw.FullError) or (isinstance(error, OSError) and lacks_room(error)):
            self._cramped = True


def free_bytes(path: Path) -> int:
    """What its disk has left for us."""
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize


def _mark(name: str) -> Mark:
    try:
        found = os.stat(name)  # noqa: PTH116 - before every batch, and a Path takes as long again
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
