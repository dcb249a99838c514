"""A ledger in a file: one connection, its WAL, and what is trusted after a failure.

Driven by the writer's thread. A failed flush is never simply tried again on the same handle: what it
thinks is on disk may not be. A new one reads the file, and must find all that was acknowledged.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import apsw
from msgspec import Struct

from proxy.ports import Clock
from proxy.store import heads
from proxy.store.anchor import Anchor, Shelf
from proxy.store.backing import Note
from proxy.store.fault import StoreRefused
from proxy.store.journal import Journal
from proxy.store.pace import Pace
from proxy.store.records import Spoilt
from proxy.store.seal import Seal
from proxy.store.sqlite.database import connect, open_file, take_lock
from proxy.store.sqlite.footing import Footing
from proxy.store.sqlite.reader import SqliteReader
from proxy.store.sqlite.remedies import RESTORE, remedy_for
from proxy.store.sqlite.tables import SqliteTables, last
from proxy.store.tables import Touched

log = logging.getLogger("proxy.ledger")

SUSPECT = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError)
"""After one of these the connection's own picture of the file is not trusted: it is opened anew."""


class OwnedFile(Struct, frozen=True):
    """The file, its heads, and the lock that makes it ours; it is given back as the last act."""

    path: Path
    lock: int
    anchor: Anchor


class SqliteBacking:
    """`Backing` over one file that this process owns."""

    failures: tuple[type[Exception], ...] = (apsw.Error, OSError, Spoilt)

    def __init__(self, file: OwnedFile, journal: Journal, tables: SqliteTables, pace: Pace) -> None:
        self._file = file
        self._pace = pace
        self._footing = Footing(file.path)
        self.lending = None
        self.tables = tables
        self.journal = journal
        self._sound = True
        self._tail = tables.tail().seq
        """Acknowledged rows."""
        self._sure = True
        """Whether the file ends where we left it; not after a COMMIT of which nobody knows."""
        self.wal_pages = 0
        self._cut_at = pace.wal_pages
        self._folding = False
        """Whether the WAL is to be emptied, and not only begun anew."""
        self._watch_wal()

    def begin(self, touched: Sequence[Touched]) -> None:
        self._reopen_if_suspect()  # first, for its WAL may be another one then
        self._footing.look()
        self._begin()

    def commit(self) -> None:
        self.tables.flush()
        tail = self.tables.tail()
        self.tables.connection.execute("COMMIT")
        self._tail, self._sure = tail.seq, True

    def undo(self, error: Exception, *, unsure: bool) -> None:
        self._sure = self._sure and not unsure
        self._footing.met(error)
        self._roll_back(error)

    def settled(self) -> None:
        if self._file.anchor.due(self._tail):
            self.tell_head()
        if self.wal_pages >= self._cut_at:
            # A WAL that is written over in place flushes in less than one that grows again from nothing.
            self._checkpoint("TRUNCATE" if self._folding else "RESTART")

    def whisper(self, notes: Sequence[Note]) -> None:
        """A killed process loses none of it, a power failure may.

        (The first after the WAL began anew flushes its header; SQLite would have it so.) It must not look
        like work for the WAL's sake, for copying the WAL flushes. If it fails the notes are lost, and the
        next batch learns whether the ledger can be written.
        """
        if not self._sound:
            return
        connection, pages = self.tables.connection, self.wal_pages
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            self._begin()
            for note in notes:
                note(self.journal)
            self.tables.flush()
            connection.execute("COMMIT")
        except (apsw.Error, StoreRefused) as error:
            log.warning("progress of calls could not be noted: %s", error)
            self.journal.forget()
            self._roll_back(error)
        if self.wal_pages < self._cut_at:
            self.wal_pages = pages
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except apsw.Error:
            self._sound = False  # a new handle is FULL from the start

    def restless(self) -> bool:
        """Nothing here may ask the file, which may fail."""
        return self.wal_pages > 0 or not self._file.anchor.covers(self._tail)

    def rest(self) -> None:
        if self.wal_pages:
            self._checkpoint("PASSIVE")
        if self._file.anchor.due(self._tail):
            self.tell_head()

    def fold(self) -> None:
        self._folding, self._cut_at = True, 0

    def close(self, *, well: bool) -> None:
        if well:
            self.tell_head()
        if self._sound:  # then, and only then, closing may fold the WAL into the file
            self.tables.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        self.tables.connection.close(True)
        os.close(self._file.lock)

    def tell_head(self) -> None:
        """Tell a head of all that is durable. Never raises: it is tried again."""
        tables = self.tables
        try:
            self._reopen_if_suspect()  # a checkpoint may have failed, and no call come since
            reader = SqliteReader(tables.connection, self._file.path)
            self._file.anchor.tell(reader, tables.tail(), tables.epoch)
        except (apsw.Error, StoreRefused, OSError) as error:
            log.warning("the ledger's head could not be told: %s", error)

    def _begin(self) -> None:
        self.tables.begin()
        found = self.tables.tail().seq
        if self._sure and found != self._tail:
            problem = f"it ends at row {found}, the last one written here is {self._tail}"
            raise StoreRefused(self._file.path, problem, RESTORE)

    def _roll_back(self, error: Exception) -> None:
        self.tables.forget()
        if isinstance(error, SUSPECT):
            self._sound = False
        try:
            if self.tables.connection.in_transaction:
                self.tables.connection.execute("ROLLBACK")
        except apsw.Error:
            self._sound = False

    def _reopen_if_suspect(self) -> None:
        if self._sound:
            return
        self.tables.connection.close(True)
        self.tables.connection = connect(self._file.path, self._pace.busy_ms)
        self.tables.forget()  # not from memory
        if self.tables.tail().seq < self._tail:
            raise StoreRefused(self._file.path, "acknowledged rows are missing", RESTORE)
        self._footing.opened()  # a reader that closed meanwhile may have taken the old WAL away
        self._watch_wal()
        self._sound = True

    # -- the WAL --------------------------------------------------------------------------------------

    def _watch_wal(self) -> None:
        # The hook takes the place of SQLite's own checkpoints: only this thread decides on them.
        self.tables.connection.set_wal_hook(self._note_wal)

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: str) -> None:
        if not self._sound:
            return
        connection = self.tables.connection
        pages, self.wal_pages = self.wal_pages, 0
        self._cut_at = self._pace.wal_pages
        try:
            connection.set_busy_timeout(0)  # a reader in the way is not waited for: later will do
            busy = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()[0][0]
            if busy:
                self._cut_at = pages + self._pace.wal_pages
            elif mode == "TRUNCATE":
                self._folding = False
            connection.set_busy_timeout(self._pace.busy_ms)
        except apsw.Error as error:
            log.warning("the ledger's WAL could not be checkpointed: %s", error)
            self._sound = not isinstance(error, SUSPECT)


def own(path: Path, clock: Clock, pace: Pace, seal: Seal | None) -> SqliteBacking:
    """Open the ledger at `path`, created if missing, and settle what earlier processes left open. Blocks.

    Raises `StoreRefused` if another process owns it or the file is not sound.
    """
    anchor = Anchor(_shelf(path), seal, clock, pace.heads)
    lock = take_lock(path)
    try:
        connection = open_file(path, pace.busy_ms)
        backing = _begin(connection, OwnedFile(path, lock, anchor), pace, clock.wall_us())
    except BaseException:
        os.close(lock)
        raise
    backing.tell_head()
    return backing


def _begin(connection: apsw.Connection, file: OwnedFile, pace: Pace, now_us: int) -> SqliteBacking:
    """Trust the file as far as its last head goes, start an epoch, settle what earlier ones left open.

    All in one transaction: killed within, the next start does it again as if nothing had been.
    """
    try:
        file.anchor.compare(SqliteReader(connection, file.path), last(connection))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE state SET epoch = epoch + 1")
        tables = SqliteTables(connection, int(connection.execute("SELECT epoch FROM state WHERE id = 1").get))
        journal = Journal(tables)
        tables.tail()
        left = journal.expire(now_us)
        tables.flush()
        connection.execute("COMMIT")
    except apsw.Error as error:
        connection.close(True)
        raise StoreRefused(file.path, f"it cannot be written ({error})", remedy_for(error)) from error
    except StoreRefused:
        connection.close(True)
        raise
    if left:
        log.warning("settled %d calls that an earlier process left open", left)
    return SqliteBacking(file, journal, tables, pace)


def _shelf(path: Path) -> Shelf:
    name = heads.heads_path(path).name
    return Shelf(lambda head: heads.append(path, head), name, f"move {name} away")
