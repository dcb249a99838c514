"""The one thread that writes the ledger: natural group commit, and honesty when the disk says no.

Whatever queued while the last flush ran is the next batch: one transaction, one flush, one wake-up
of the loop. A future resolves only after its COMMIT returned. If a batch fails, reservations in it
are refused (503) and settlements are kept and tried again until the cause has gone; no restart is
needed. `ledger.py` submits; nobody else touches the connection while the thread lives.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from proxy.ports import Alert
from proxy.store.anchor import Anchor, Cadence
from proxy.store.fault import StoreRefused, cannot_write, too_busy
from proxy.store.journal import Answer, Journal, Result, Work
from proxy.store.sqlite.database import RESTORE, connect

log = logging.getLogger("proxy.ledger")

SUSPECT = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError)
"""After one of these the connection's own picture of the file is not trusted: it is opened anew."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the writer works; the defaults are for service, tests narrow them."""

    batch: int = 256
    """Requests in one transaction at most."""
    queue: int = 10_000
    """Reservations that may wait; more are refused. Settlements are always accepted: there can be
    no more of them than calls under way."""
    busy_ms: int = 5000
    """How long a foreign lock on the file is waited out."""
    retry_s: float = 0.25
    """Between tries while the file cannot be written."""
    note_s: float = 0.25
    """How long a note of progress waits for a batch to go with, before it is written without a flush."""
    idle_s: float = 1.0
    """Quiet time after which the WAL is copied into the file."""
    wal_pages: int = 16_384
    """The WAL is cut short above this (64 MiB)."""
    last_tries: int = 3
    """Tries for kept settlements when closing; then the next start settles them as crashed."""
    heads: Cadence = field(default_factory=Cadence)


Note = Callable[[Journal], None]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One request and who waits for it."""

    work: Work
    future: asyncio.Future[Result] | None
    void: Work | None
    """For what may be refused: how to undo it should it be on disk after all. None: it is kept."""


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """The file, its heads, and the lock that makes it ours; the thread gives that back as its last act."""

    path: Path
    lock: int
    anchor: Anchor


class Writer:
    """The thread, its queue and its connection."""

    def __init__(
        self,
        file: OwnedFile,
        journal: Journal,
        on_alert: Callable[[Alert], None],
        pace: Pace,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._file = file
        self._journal = journal
        self._on_alert = on_alert
        self._pace = pace
        self._loop = loop
        self._queue: deque[Job] = deque()
        self._wake = threading.Condition()
        self._batch: list[Job] = []
        """Taken from the queue and not yet answered or put back."""
        self._notes: dict[str, Note] = {}
        """The latest of each call that is still to be written: no more than there are calls under way."""
        self._closing = False
        self._ended = False
        self._sound = True
        self._tail = journal.tail().seq
        """Acknowledged rows."""
        self._sure = True
        """Whether the file ends where we left it; not after a COMMIT of which nobody knows."""
        self._wal_pages = 0
        self._cut_at = pace.wal_pages
        self.trouble: str | None = None
        """Why the ledger cannot write just now, for readiness; None when it can."""
        self._watch_wal()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Begin; first tells the alerts that settling dead calls raised."""
        self._tell((), tuple(self._journal.alerts))
        self._journal.alerts.clear()
        self._thread.start()

    def submit(self, work: Work, void: Work | None) -> asyncio.Future[Result]:
        """Queue a request before returning; only one that can be undone (`void`) may be refused."""
        with self._wake:
            if self._ended:
                raise cannot_write()
            if void is not None and (self.trouble is not None or self._closing):
                raise cannot_write()
            if void is not None and len(self._queue) >= self._pace.queue:
                raise too_busy()
            future: asyncio.Future[Result] = self._loop.create_future()
            self._queue.append(Job(work, future, void))
            self._wake.notify()
        return future

    def note(self, call_id: str, note: Note) -> None:
        """Have a note written when that costs little; it may be lost, and is of no use once closing."""
        with self._wake:
            if not self._notes:
                self._wake.notify()
            self._notes[call_id] = note

    def fold(self) -> None:
        """Have the next batch fold the WAL into the file: what was deleted is in it still."""
        self._cut_at = 0

    def close(self) -> None:
        """Write all that is queued, fold the WAL into the file and close it. Blocks."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        # Whatever ends this thread, a defect included, nobody is left waiting for it.
        try:
            self._serve()
        finally:
            self._end()

    def _serve(self) -> None:
        tries = 0
        self._tell_head()
        while tries <= self._pace.last_tries:
            batch = self._take()
            if batch is None:
                self._tell_head()
                return
            if not batch:
                self._rest()
                continue
            self._write(batch)
            tries = tries + 1 if self._closing and self.trouble else 0

    def _take(self) -> list[Job] | None:
        """The next batch; empty when it has been quiet for a while, None when all is done."""
        with self._wake:
            if self.trouble is not None:
                self._wake.wait_for(lambda: self._closing, self._pace.retry_s)
            while not self._queue:
                if self._closing:
                    return None
                if not self._wake.wait(self._patience()):
                    return []
            self._batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._pace.batch))]
            return self._batch

    def _write(self, batch: list[Job]) -> None:
        committing = False
        try:
            self._reopen_if_suspect()
            self._refuse_foreign_rows(self._journal.begin().seq)
            answers = [self._journal.attempt(job.work) for job in batch]
            self._write_notes()
            tail = self._journal.tail()
            committing = True
            self._journal.connection.execute("COMMIT")
        except (apsw.Error, StoreRefused, OSError) as error:
            self._fail(batch, error, unsure=committing)
            return
        self._tail, self._sure, self._batch = tail.seq, True, []
        self._succeed(batch, answers)
        if self._file.anchor.due(tail.seq):
            self._tell_head()
        if self._wal_pages >= self._cut_at:
            self._checkpoint("TRUNCATE")

    def _succeed(self, batch: list[Job], answers: list[Answer]) -> None:
        if self.trouble is not None:
            log.warning("the ledger writes again")
            self.trouble = None
        alerts = tuple(self._journal.alerts)
        self._journal.alerts.clear()
        pairs = [(job.future, answer) for job, answer in zip(batch, answers, strict=True) if job.future]
        for job, answer in zip(batch, answers, strict=True):
            if job.void is None and isinstance(answer, Exception):
                log.error("a settlement could not be written and stays open: %r", answer)
        self._tell(pairs, alerts)

    def _fail(self, batch: list[Job], error: Exception, *, unsure: bool) -> None:
        if self.trouble is None:
            log.error("the ledger cannot write: %s", error)
        self.trouble = f"{type(error).__name__}: {error}"
        self._sure = self._sure and not unsure
        self._undo(error)
        kept = []
        for job in batch:
            if job.void is None:
                kept.append(job)
            elif unsure:
                # COMMIT failed, yet its frames may be in the file: free whatever turns out to be there.
                kept.append(Job(job.void, None, None))
        with self._wake:
            if not kept and not self._queue:
                kept.append(Job(_probe, None, None))
            self._queue.extendleft(reversed(kept))
            self._batch = []
        self._tell([(job.future, cannot_write()) for job in batch if job.void and job.future], ())

    def _undo(self, error: Exception) -> None:
        self._journal.forget()
        if isinstance(error, SUSPECT):
            self._sound = False
        try:
            if self._journal.connection.in_transaction:
                self._journal.connection.execute("ROLLBACK")
        except apsw.Error:
            self._sound = False

    def _reopen_if_suspect(self) -> None:
        # A failed flush is never simply tried again on the same handle: what it thinks is on disk
        # may not be. A new one reads the file, and must find all that was acknowledged.
        if self._sound:
            return
        self._journal.connection.close(True)
        self._journal.connection = connect(self._file.path, self._pace.busy_ms)
        self._journal.forget()  # not from memory
        if self._journal.tail().seq < self._tail:
            raise StoreRefused(self._file.path, "acknowledged rows are missing", RESTORE)
        self._watch_wal()
        self._sound = True

    def _refuse_foreign_rows(self, found: int) -> None:
        if self._sure and found != self._tail:
            problem = f"it ends at row {found}, the last one written here is {self._tail}"
            raise StoreRefused(self._file.path, problem, RESTORE)

    def _tell_head(self) -> None:
        if self.trouble is not None:
            return
        journal = self._journal
        try:
            self._reopen_if_suspect()  # a checkpoint may have failed, and no call come since
            self._file.anchor.tell(journal.connection, journal.tail(), journal.epoch)
        except (apsw.Error, StoreRefused, OSError) as error:
            log.warning("the ledger's head could not be told: %s", error)

    # -- when it is quiet: notes, heads and the WAL -----------------------------------------------------

    def _patience(self) -> float | None:
        """How long to wait for the next request before doing something else; None: there is nothing else."""
        if self._notes:
            return self._pace.note_s
        return self._pace.idle_s if self._restless() else None

    def _write_notes(self) -> None:
        with self._wake:
            notes, self._notes = self._notes, {}
        for note in notes.values():
            note(self._journal)

    def _write_notes_alone(self) -> None:
        """In a transaction that is not flushed: a killed process loses none of it, a power failure may.

        (The first after the WAL began anew flushes its header; SQLite would have it so.) It must not look
        like work for the WAL's sake, for copying the WAL flushes. If it fails the notes are lost, and the
        next batch learns whether the ledger can be written.
        """
        connection, pages = self._journal.connection, self._wal_pages
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            self._refuse_foreign_rows(self._journal.begin().seq)
            self._write_notes()
            connection.execute("COMMIT")
        except (apsw.Error, StoreRefused) as error:
            log.warning("progress of calls could not be noted: %s", error)
            self._undo(error)
        if self._wal_pages < self._cut_at:
            self._wal_pages = pages
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except apsw.Error:
            self._sound = False  # a new handle is FULL from the start

    def _restless(self) -> bool:
        """Whether a quiet while would be of use. Nothing here may ask the file, which may fail."""
        return self._wal_pages > 0 or (self.trouble is None and not self._file.anchor.covers(self._tail))

    def _rest(self) -> None:
        if self._notes:
            if self._sound and self.trouble is None:
                self._write_notes_alone()
        elif self._wal_pages:
            self._checkpoint("PASSIVE")
        if self.trouble is None and self._file.anchor.due(self._tail):
            self._tell_head()

    def _watch_wal(self) -> None:
        # The hook takes the place of SQLite's own checkpoints: only this thread decides on them.
        self._journal.connection.set_wal_hook(self._note_wal)

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: str) -> None:
        if not self._sound:
            return
        connection = self._journal.connection
        pages, self._wal_pages = self._wal_pages, 0
        self._cut_at = self._pace.wal_pages
        try:
            connection.set_busy_timeout(0)  # a reader in the way is not waited for: later will do
            busy = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()[0][0]
            if busy:
                self._cut_at = pages + self._pace.wal_pages
            connection.set_busy_timeout(self._pace.busy_ms)
        except apsw.Error as error:
            log.warning("the ledger's WAL could not be checkpointed: %s", error)
            self._sound = not isinstance(error, SUSPECT)

    def _end(self) -> None:
        with self._wake:
            left = [*self._batch, *self._queue]
            self._ended = True
            self._queue.clear()
            if not self._closing:
                self.trouble = "the ledger's writer has stopped"
        if left:
            log.critical("%d requests could not be written; the next start settles their calls", len(left))
            self._tell([(job.future, cannot_write()) for job in left if job.future], ())
        if self._sound:  # then, and only then, closing may fold the WAL into the file
            self._journal.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        self._journal.connection.close(True)
        os.close(self._file.lock)

    # -- back to the loop -------------------------------------------------------------------------

    def _tell(
        self,
        pairs: Iterable[tuple[asyncio.Future[Result], Answer]],
        alerts: tuple[Alert, ...],
    ) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, pairs, alerts)
        except RuntimeError:
            log.warning("the loop is gone; nobody waits for the ledger any more")

    def _deliver(
        self,
        pairs: Iterable[tuple[asyncio.Future[Result], Answer]],
        alerts: tuple[Alert, ...],
    ) -> None:
        for future, answer in pairs:
            if future.done():
                continue  # the awaiter was cancelled; what was written stays written
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        for alert in alerts:
            self._on_alert(alert)


def _probe(journal: Journal) -> None:
    journal.touch()
