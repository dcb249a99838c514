"""Power cuts without a plug: a file system that remembers, and every disk it could have left behind.

`Recorder` is the ledger's own SQLite on a VFS that notes each write, cut and flush, and what was
acknowledged in between. `images` replays that and yields, for a cut after each of them, disks on which
what had been flushed is there and what had not is there in part: none of it, all of it, or some sectors
of some writes, in any order. A write spoils nothing beside it (the promise that SQLite calls powersafe
overwrite). The heads file counts as written at once: the strictest case for a start that compares.

A VFS in Python has no shared memory, so the recorded connections lock the file for themselves; pages,
frames and flushes are the same.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import apsw

from proxy.store.heads import heads_path

SECTOR = 512
NAME, UNIX = "power", "unix"


@dataclass(frozen=True)
class Change:
    """A write at an offset, or (`data` is None) a cut to a size."""

    at: int
    data: bytes | None


@dataclass(frozen=True)
class Step:
    """One thing that happened to one file; `change` is None for a flush."""

    suffix: str
    """`` for the database, `-wal` for its log."""
    change: Change | None
    acknowledged: int
    """How many acknowledgements had been given by then."""
    head_bytes: int


@dataclass
class Recorder:
    """Everything that happened to one ledger, in order."""

    path: Path
    steps: list[Step] = field(default_factory=list)
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    """(kind, call id), as the callers heard it."""

    def __enter__(self) -> Self:
        self._vfs = _Vfs(self)
        apsw.connection_hooks.append(_lock_alone)
        return self

    def __exit__(self, *_: object) -> None:
        apsw.connection_hooks.remove(_lock_alone)
        self._vfs.unregister()

    def heard(self, kind: str, call_id: str) -> None:
        """A caller was told that this is durable."""
        self.acknowledged.append((kind, call_id))

    def note(self, name: str, change: Change | None) -> None:
        """Called by the files, before they do it."""
        suffix = name.removeprefix(str(self.path))
        if suffix in ("", "-wal"):
            self.steps.append(Step(suffix, change, len(self.acknowledged), self.head_bytes()))

    def head_bytes(self) -> int:
        heads = heads_path(self.path)
        return heads.stat().st_size if heads.exists() else 0


def _lock_alone(connection: apsw.Connection) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")


class _Vfs(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(NAME, UNIX, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "_File":  # noqa: N802 - SQLite's own name
        return _File(self._recorder, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        self._recorder = recorder
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__(UNIX, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._recorder.note(self._name, Change(offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._recorder.note(self._name, Change(newsize, None))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._recorder.note(self._name, None)


@dataclass
class Disk:
    """One file of the machine that lost power: what is safe, and what is on its way."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def flush(self) -> None:
        for change in self.pending:
            apply(self.safe, change)
        self.pending.clear()

    def left(self, dice: random.Random, share: float) -> bytes:
        """What could be found after the cut, with about this share of what was on its way."""
        found = bytearray(self.safe)
        for change in self.pending:
            for piece in pieces(change):
                if share == 1.0 or dice.random() < share:
                    apply(found, piece)
        return bytes(found)


def apply(content: bytearray, change: Change) -> None:
    """Do to a file what was asked of it."""
    if change.data is None:
        del content[change.at :]
        return
    end = change.at + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.at : end] = change.data


def pieces(change: Change) -> Iterator[Change]:
    """A write sector by sector, for a disk may take any of them."""
    if change.data is None:
        yield change
        return
    at = 0
    while at < len(change.data):
        size = SECTOR - (change.at + at) % SECTOR
        yield Change(change.at + at, change.data[at : at + size])
        at += size


@dataclass(frozen=True)
class Image:
    """A disk after a power cut."""

    step: int
    share: float
    files: dict[str, bytes]
    acknowledged: int
    head_bytes: int

    def write(self, path: Path, heads: bytes) -> None:
        """Lay it out as a ledger at `path`; `heads` is the whole heads file of the recorded run."""
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        for suffix, content in self.files.items():
            path.with_name(path.name + suffix).write_bytes(content)
        heads_path(path).write_bytes(heads[: self.head_bytes])


def images(recorder: Recorder, before: bytes, seed: int, torn: int) -> Iterator[Image]:
    """The disks that a cut after each step can leave: nothing unflushed, all of it, and `torn` others.

    `before` is the database before the first step, all of it safe.
    """
    dice = random.Random(seed)
    disks = {"": Disk(bytearray(before)), "-wal": Disk()}
    for number, step in enumerate(recorder.steps):
        disk = disks[step.suffix]
        if step.change is None:
            disk.flush()
        else:
            disk.pending.append(step.change)
        shares = [0.0, 1.0, *(dice.choice((0.2, 0.5, 0.8)) for _ in range(torn))]
        if not any(each.pending for each in disks.values()):
            shares = [0.0]  # all of them are the same disk
        for share in shares:
            files = {suffix: each.left(dice, share) for suffix, each in disks.items()}
            yield Image(number, share, files, step.acknowledged, step.head_bytes)
