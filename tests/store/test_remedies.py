"""What is to be done about a file that cannot be used: never to give it up, unless it is damaged."""

import errno
import sqlite3
from contextlib import closing

import apsw
import pytest

from proxy.store import StoreRefused, open_keys
from proxy.store.sqlite import keyfile
from proxy.store.sqlite.database import open_file
from proxy.store.sqlite.remedies import remedy_for
from tests.store.failing_disk import FAULTS, Disk
from tests.store.making import StillClock

ROOM, HOLDER, DISK, AWAY = "make room", "end who holds it", "look at its disk", "look whether it is there"
RESTORE, UNSURE = "restore a backup or", "only if the file itself is damaged"


def full(connect, path):
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")


def locked(connect, path):
    with closing(connect(path)) as one, closing(connect(path)) as other:
        one.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE t (x)")


def read_only(connect, path):
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("INSERT INTO t VALUES (1)")


def away(connect, path):
    connect(path / "not" / "there").execute("SELECT 1")


def no_database(connect, path):
    path.write_bytes(b"no database" * 100)
    with closing(connect(path)) as connection:
        connection.execute("SELECT * FROM sqlite_schema")


def damaged(connect, path):
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
    whole = bytearray(path.read_bytes())
    page = int.from_bytes(whole[16:18])
    whole[page : 2 * page] = b"\xff" * page
    path.write_bytes(whole)
    with closing(connect(path)) as connection:
        connection.execute("SELECT * FROM t")


def strange(connect, path):
    with closing(connect(path)) as connection:
        connection.execute("SELECT * FROM nothing")


def by_apsw(path):
    return apsw.Connection(str(path))


def by_sqlite3(path):
    return sqlite3.connect(path, timeout=0, isolation_level=None)


@pytest.mark.parametrize("connect", [by_apsw, by_sqlite3])
@pytest.mark.parametrize(
    ("mishap", "remedy"),
    [
        (full, ROOM),
        (locked, HOLDER),
        (read_only, DISK),
        (away, AWAY),
        (no_database, RESTORE),
        (damaged, RESTORE),
        (strange, UNSURE),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_the_remedy_fits_the_error_whichever_driver_raises_it(connect, mishap, remedy, tmp_path):
    with pytest.raises((apsw.Error, sqlite3.Error)) as told:
        mishap(connect, tmp_path / "file.db")
    assert remedy in remedy_for(told.value)
    assert (RESTORE in remedy_for(told.value)) == (remedy == RESTORE)


def test_the_system_too_says_when_there_is_no_room():
    assert ROOM in remedy_for(OSError(errno.ENOSPC, "No space left on device"))
    assert ROOM in remedy_for(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert DISK in remedy_for(PermissionError(errno.EACCES, "Permission denied"))


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("the disk is full", ROOM),
        ("a write fails", DISK),
        ("a read fails", DISK),
        ("a flush fails", DISK),
        ("a lock is refused", HOLDER),
    ],
)
def test_a_ledger_whose_disk_fails_is_not_to_be_given_up(tmp_path, kind, remedy):
    refused = []
    for nth in range(1, 30):
        path = tmp_path / str(nth) / "ledger.db"
        path.parent.mkdir()
        with Disk(FAULTS[kind], nth):
            try:
                open_file(path, 1).close()
            except StoreRefused as error:
                refused.append(str(error))
    assert refused
    assert all(remedy in each and RESTORE not in each for each in refused), refused


async def test_keys_that_another_process_holds_are_waited_for_and_not_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(keyfile, "BUSY_S", 0)
    async with open_keys(tmp_path / "ledger.db", clock=StillClock()):
        pass
    with closing(by_sqlite3(tmp_path / "keys.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreRefused, match=f"database is locked.*{HOLDER}"):
            async with open_keys(tmp_path / "ledger.db", clock=StillClock()):
                pass


async def test_it_is_said_what_goes_with_keys_that_are_moved_away(tmp_path):
    (tmp_path / "keys.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreRefused, match="it takes all keys, all pseudonyms and the key for heads along"):
        async with open_keys(tmp_path / "ledger.db", clock=StillClock()):
            pass
