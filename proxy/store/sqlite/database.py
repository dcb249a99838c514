"""The ledger's file: created whole, opened only when it is ours and sound, owned by one process.

The writer opens it through `open_file`, readers through `open_file_to_read`. A file that is foreign,
newer, damaged or empty is refused with a remedy; nothing here ever replaces one that exists.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import apsw

from proxy.store.fault import Owned, StoreRefused
from proxy.store.sqlite.remedies import RESTORE, lacks_room, remedy_for

APPLICATION_ID = 0x46544C47
"""`FTLG`: how `file` and we tell a ledger from any other SQLite file."""

OLDEST_SQLITE = (3, 51, 3)
"""Older ones can corrupt a WAL file when two connections write and checkpoint at once."""

LOOKED_THROUGH = 64 * 1024 * 1024
"""Up to this size a file is looked through as a whole when it is opened: about 0.2 s."""

WORKING = ("state", "balances", "open_calls", "alerts", "segments", "stub", "past")
"""Tables that do not grow with every call."""

PRAGMAS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cell_size_check = ON",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
)


def migrations(store: str) -> tuple[tuple[int, str], ...]:
    """The numbered scripts of one store (`sql/<store>-NNN.sql`), in order."""
    found = []
    for script in (files("proxy.store.sqlite") / "sql").iterdir():
        matched = re.fullmatch(rf"{store}-(\d{{3}})\.sql", script.name)
        if matched:
            found.append((int(matched[1]), script.read_text("utf-8")))
    return tuple(sorted(found))


def open_or_make(path: Path) -> int:
    """A handle on `path`, which is made with its folder if missing; both are then their owner's alone.

    In a folder that others may write to, they could put another file in the place of ours.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        remedy = (
            remedy_for(error) if lacks_room(error) else "let this process write there, or name another place"
        )
        raise StoreRefused(path, f"it cannot be made or opened ({error.strerror})", remedy) from error


def take_lock(path: Path) -> int:
    """Own the ledger for the life of this process; the kernel gives it back even after a kill."""
    handle = open_or_make(path.with_name(path.name + ".lock"))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        remedy = "stop it, or give this one a ledger of its own"
        raise Owned(path, "another process writes this ledger", remedy) from None
    return handle


def open_file(path: Path, busy_ms: int) -> apsw.Connection:
    """The writer's connection: created if missing, migrated if older. The lock must be held."""
    refuse_old_sqlite(path)
    try:
        if not path.exists():
            _create(path)
        connection = connect(path, busy_ms)
        with _closed_if_unfit(connection):
            _check_sound(connection, path)
            _migrate(connection)
    except apsw.Error as error:
        raise StoreRefused(path, f"SQLite cannot open it ({error})", remedy_for(error)) from error
    except OSError as error:
        raise StoreRefused(
            path, f"it cannot be made or opened ({error.strerror})", remedy_for(error)
        ) from error
    return connection


def open_file_to_read(path: Path) -> apsw.Connection:
    """A read-only connection beside a running writer; long transactions on it hold up checkpoints."""
    refuse_old_sqlite(path)
    if not path.exists():
        raise StoreRefused(path, "there is no ledger here", "start the proxy once, or name another file")
    try:
        connection = apsw.Connection(
            f"{path.absolute().as_uri()}?mode=ro", apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        with _closed_if_unfit(connection):
            connection.set_busy_timeout(5000)
            connection.execute("PRAGMA trusted_schema = OFF")
            _check_ours(connection, path)
    except apsw.Error as error:
        raise StoreRefused(path, f"SQLite cannot read it ({error})", remedy_for(error)) from error
    return connection


def connect(path: Path, busy_ms: int) -> apsw.Connection:
    """A writing connection to a file that exists, as every writer of ours must have it."""
    connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE)
    with _closed_if_unfit(connection):
        # A handle that saw a failed write is closed without touching the file again; the writer
        # checkpoints by itself when it ends well.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(busy_ms)
        _check_ours(connection, path)
        if connection.execute("PRAGMA journal_mode = WAL").get != "wal":
            raise StoreRefused(path, "its file system cannot do WAL", "keep the ledger on a local disk")
        for pragma in PRAGMAS:
            connection.execute(pragma)
    return connection


@contextmanager
def _closed_if_unfit(connection: apsw.Connection) -> Iterator[None]:
    """Closes the connection if anything fails here.

    Left to the collector it would be closed later, and take away the journal of whoever has opened the file
    since.
    """
    try:
        yield
    except BaseException:
        connection.close(True)
        raise


def in_memory() -> apsw.Connection:
    """A ledger that is nowhere but in this process, and ends with its connection."""
    connection = apsw.Connection(":memory:")
    for pragma in PRAGMAS:
        connection.execute(pragma)
    _migrate(connection)
    return connection


def refuse_old_sqlite(path: Path) -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreRefused(path, f"SQLite {apsw.sqlite_lib_version()} is unsafe", f"use {oldest} or newer")


def _create(path: Path) -> None:
    # Built aside and renamed, so that a kill while creating leaves either nothing or a whole
    # ledger, and an empty file is always the sign of damage.
    if path.with_name(path.name + "-wal").exists():
        raise StoreRefused(path, "the ledger is gone but its -wal file is here", RESTORE)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = apsw.Connection(str(fresh), apsw.SQLITE_OPEN_READWRITE)
    with _closed_if_unfit(connection):
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _migrate(connection)
    connection.close()
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def _check_ours(connection: apsw.Connection, path: Path) -> None:
    if path.stat().st_size == 0:
        raise StoreRefused(path, "the file is empty", RESTORE)
    if connection.pragma("application_id") != APPLICATION_ID:
        raise StoreRefused(path, "this is not a Fallthrough ledger", "name another file")
    newest = migrations("ledger")[-1][0]
    version = connection.pragma("user_version")
    if version > newest:
        problem = f"written by a newer Fallthrough (schema {version}, this one knows {newest})"
        raise StoreRefused(path, problem, "run that version or newer")


def _check_sound(connection: apsw.Connection, path: Path) -> None:
    """Look at every page of a small file, and of a large one at those that the next call will change.

    A start must not take the longer the more is in the ledger. Old rows of a large one are `ledger verify`'s.
    """
    parts = ("1",) if path.stat().st_size <= LOOKED_THROUGH else WORKING
    for part in parts:
        verdict = connection.execute(f"PRAGMA quick_check({part})").get
        if verdict != "ok":
            raise StoreRefused(path, f"the file is damaged ({verdict})", RESTORE)


def _migrate(connection: apsw.Connection) -> None:
    version = connection.pragma("user_version")
    for number, script in migrations("ledger"):
        if number > version:
            connection.execute(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")
