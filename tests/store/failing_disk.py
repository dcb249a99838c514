"""A disk that fails at the n-th thing it is asked for, once or for a while, and then is well again.

`Disk` is the file system of every SQLite connection opened while it is in force: the real one, with a count
of what is asked of it. A `Fault` names what fails and how. A write that fails has been done in part; a flush
that fails may take along what it should have made safe, as Linux does. `Intruder` is trouble of another
kind: somebody else's lock on the ledger, taken when it is wanted for the n-th time.
Both count, so that a test can go on to the next n until a run ends in which nothing failed.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import apsw

_CONNECTION = apsw.Connection
NAME, UNIX = "failing", "unix"
WANT_THE_LOCK = ("BEGIN IMMEDIATE", "PRAGMA wal_checkpoint", "PRAGMA journal_mode")


@dataclass(frozen=True)
class Fault:
    """What the disk does not do, and what it says then."""

    operation: str
    """`write`, `flush`, `read`, `lock`."""
    error: Callable[[], apsw.Error]
    forgets: bool = False
    """Whether what was written since the last flush is gone with it."""


def io_error(extended: int) -> Callable[[], apsw.Error]:
    def made() -> apsw.Error:
        error = apsw.IOError("the disk has failed")
        error.extendedresult = extended
        return error

    return made


FAULTS = {
    "a write fails": Fault("write", io_error(apsw.SQLITE_IOERR_WRITE)),
    "the disk is full": Fault("write", lambda: apsw.FullError("the disk is full")),
    "a flush fails": Fault("flush", io_error(apsw.SQLITE_IOERR_FSYNC)),
    "a flush fails and forgets": Fault("flush", io_error(apsw.SQLITE_IOERR_FSYNC), forgets=True),
    "a read fails": Fault("read", io_error(apsw.SQLITE_IOERR_READ)),
    "a lock is refused": Fault("lock", lambda: apsw.BusyError("the file is locked")),
}


@dataclass(frozen=True)
class Undo:
    """What was in a file before a write or a cut that is not flushed yet."""

    size: int
    at: int
    data: bytes


@dataclass
class Disk:
    """Fails at the n-th operation of the fault's kind and at the next ones, `times` in all."""

    fault: Fault
    nth: int
    times: int = 1
    asked: int = 0
    hits: int = 0
    unsafe: dict[str, list[Undo]] = field(default_factory=lambda: defaultdict(list))
    """By file, what to put back if a flush forgets; the oldest first."""
    in_the_way: ClassVar[bool] = False
    """It does harm only where it hits."""

    def __enter__(self) -> Self:
        self._vfs = _Vfs(self)
        apsw.Connection = _Reticent  # type: ignore[misc]
        return self

    def __exit__(self, *_: object) -> None:
        apsw.Connection = _CONNECTION  # type: ignore[misc]
        self._vfs.unregister()

    def fails(self, operation: str) -> bool:
        """Count an operation; whether it is to fail."""
        if operation != self.fault.operation:
            return False
        self.asked += 1
        if self.asked < self.nth or self.hits >= self.times:
            return False
        self.hits += 1
        return True


class _Reticent(_CONNECTION):
    """SQLite does not say what failed while it folded the WAL at the close; only a VFS in Python would."""

    def close(self, force: bool = False) -> None:
        with suppress(apsw.Error):
            super().close(force)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(NAME, UNIX, makedefault=True)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's own names, here and below
        self._disk.unsafe.pop(filename, None)
        super().xDelete(filename, syncdir)

    def xOpen(self, name: Any, flags: list[int]) -> "_File":  # noqa: N802
        return _File(self._disk, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__(UNIX, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self._disk.fails("read"):
            raise self._disk.fault.error()
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._remember(offset, len(data))
        if self._disk.fails("write"):
            super().xWrite(data[: len(data) // 2], offset)
            raise self._disk.fault.error()
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._remember(newsize, self.xFileSize() - newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._disk.fails("flush"):
            if self._disk.fault.forgets:
                self._forget()
            raise self._disk.fault.error()
        super().xSync(flags)
        self._disk.unsafe[self._name].clear()

    def xLock(self, level: int) -> None:  # noqa: N802
        if self._disk.fails("lock"):
            raise self._disk.fault.error()
        super().xLock(level)

    def _remember(self, at: int, amount: int) -> None:
        if self._disk.fault.forgets:
            size = self.xFileSize()
            there = max(0, min(amount, size - at))
            before = super().xRead(there, at) if there else b""
            self._disk.unsafe[self._name].append(Undo(size, at, before))

    def _forget(self) -> None:
        undone = self._disk.unsafe[self._name]
        while undone:
            step = undone.pop()
            if step.data:
                super().xWrite(step.data, step.at)
            super().xTruncate(step.size)


@dataclass
class Intruder:
    """Takes the write lock when others want it for the n-th time, and has it while they ask `times` times."""

    path: Path
    nth: int
    times: int = 1
    asked: int = 0
    hits: int = 0
    own: apsw.Connection | None = None

    @property
    def in_the_way(self) -> bool:
        """Whether it has the file open just now, which alone keeps the WAL from being folded."""
        return self.own is not None

    def __enter__(self) -> Self:
        apsw.connection_hooks.append(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        apsw.connection_hooks.remove(self._watch)
        self._leave()

    def _watch(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self._before

    def _before(self, cursor: apsw.Cursor, sql: str, _: object) -> bool:
        if not sql.startswith(WANT_THE_LOCK) or cursor.connection.in_transaction:
            return True
        self.asked += 1
        if self.own is None and self.asked >= self.nth and not self.hits:
            self._enter()
        if self.own is not None:
            self.hits += 1
            if self.hits > self.times:
                self._leave()
        return True

    def _enter(self) -> None:
        if not self.path.exists():
            return
        apsw.connection_hooks.remove(self._watch)
        self.own = apsw.Connection(str(self.path), apsw.SQLITE_OPEN_READWRITE)
        apsw.connection_hooks.append(self._watch)
        self.own.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self.own.execute("BEGIN IMMEDIATE")

    def _leave(self) -> None:
        if self.own is not None:
            self.own.close(True)
            self.own = None
