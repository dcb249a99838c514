"""A ledger in PostgreSQL, on behalf of one replica: transactions, a sign of life, and care for the dead.

Driven by the writer's thread. Whatever fails ends the session, and the next batch opens another. A replica
that is not heard of for `DEAD_S` by the server's clock is dead to the others: what it had open is settled
as a crash, and its row in `replicas` goes. If it lives after all it joins anew, under another epoch.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from proxy.place import Database
from proxy.ports import Clock
from proxy.store import heads
from proxy.store.anchor import Anchor, Shelf
from proxy.store.backing import Note
from proxy.store.chain import Link
from proxy.store.entries import Entry
from proxy.store.heads import Head
from proxy.store.journal import Journal
from proxy.store.pace import Pace
from proxy.store.postgres import sql
from proxy.store.postgres.contact import Contact
from proxy.store.postgres.database import FAILURES, LEDGER, prepare, unreachable, words_of
from proxy.store.postgres.lending import Lending
from proxy.store.postgres.reader import PostgresReader
from proxy.store.postgres.records import FENCED, Fenced
from proxy.store.postgres.session import Session
from proxy.store.postgres.tables import PostgresTables
from proxy.store.records import Spoilt
from proxy.store.seal import Seal
from proxy.store.tables import Touched
from proxy.table import Unit

log = logging.getLogger("proxy.ledger")

LEAVING_S = 4.0
"""How long a replica that ends waits for a silent server; the others find out by themselves that it ended."""


class PostgresBacking:
    """`Backing` over one database that other replicas write too."""

    failures: tuple[type[Exception], ...] = (*FAILURES, Fenced, Spoilt)

    def __init__(self, database: Database, clock: Clock, pace: Pace, seal: Seal | None) -> None:
        self._database = database
        self._clock = clock
        self._pace = pace
        self._session: Session | None = Session(database, LEDGER)
        self.tables = PostgresTables(self._session, 0)
        self.journal = Journal(self.tables)
        shelf = Shelf(self._keep, "the table fallthrough.heads", "empty the table fallthrough.heads")
        self._anchor = Anchor(shelf, seal, clock, pace.heads)
        self._known = self.tables.link
        """Where the chain ended when last seen, all of it durable."""
        self._begun_s = self._beaten_s = clock.mono()
        self._contact = Contact(pace.dead_s, self._begun_s)
        self.lending = Lending(self.tables, self.alive, clock)

    def alive(self) -> bool:
        """Whether nobody can have taken this replica for dead yet. For any thread."""
        return self._contact.certain(self._clock.mono())

    def join(self) -> None:
        """Trust the database as far as its last head goes, and become one of its replicas."""
        reader = PostgresReader(self.tables.session, self._database)
        reader.begin()
        [(seq, own)] = reader.select("SELECT seq, hash FROM state WHERE id = 1")
        self._anchor.compare(reader, Link(seq, own))
        reader.end()
        self._enter()
        self._look_after_the_dead()
        self._tell_head()

    def begin(self, touched: Sequence[Touched]) -> None:
        self._begun_s = self._clock.mono()
        self._connected()
        if self.tables.epoch == 0:
            self._enter()
        self.tables.begin(touched)

    def commit(self) -> None:
        self.tables.flush()
        self.tables.session.execute("COMMIT")
        self._end()

    def undo(self, error: Exception, *, unsure: bool) -> None:
        if isinstance(error, Fenced):
            log.error("%s", error)
            self.tables.epoch = 0
        self.tables.forget()
        self._contact.lost(self._clock.mono())
        self._part()

    def settled(self) -> None:
        if self._anchor.due(self._known.seq):
            self._tell_head()
        self._beat_if_due()

    def whisper(self, notes: Sequence[Note]) -> None:
        if self._session is None:
            return
        self.tables.forget()
        for note in notes:
            note(self.journal)
        try:
            self._session.execute("BEGIN; SET LOCAL synchronous_commit TO off")
            self.tables.flush_notes()
            self._session.execute("COMMIT")
        except self.failures as error:
            log.warning("progress of calls could not be noted: %s", words_of(error))
            self.undo(error, unsure=False)
        self.tables.forget()
        self._beat_if_due()

    def restless(self) -> bool:
        return True

    def rest(self) -> None:
        self._beat()
        if self._anchor.due(self._known.seq):
            self._tell_head()

    def fold(self) -> None:
        """Nothing: the server's own vacuum gives room back."""

    def close(self, *, well: bool) -> None:
        if self._session is None:
            return
        if well:
            self._session.hasten(LEAVING_S)
            try:
                self._session.execute(sql.UNLEND, self.tables.epoch)
                self._session.execute(sql.LEAVE, self.tables.epoch)
            except self.failures as error:
                log.warning("the server was not told that this replica ends: %s", words_of(error))
            else:
                self._tell_head()
        self._part()

    def _beat_if_due(self) -> None:
        """For when it is not quiet for long enough. What goes wrong the next batch finds out."""
        if self._session is None or self._clock.mono() - self._beaten_s < self._pace.idle_s:
            return
        try:
            self._beat()
        except self.failures as error:
            log.warning("the ledger's server does not answer: %s", words_of(error))
            self.undo(error, unsure=False)

    def _beat(self) -> None:
        """Say that this replica lives, and look after those that do not."""
        self._begun_s = self._beaten_s = self._clock.mono()
        session = self._connected()
        session.execute(sql.SPENT_SLICES, self.tables.epoch)
        heard = session.fetch(sql.BEAT, self.tables.epoch)
        if not heard:
            raise Fenced(FENCED)
        self._contact.heard(self._begun_s, heard[0][0])
        self._look_after_the_dead()

    def _look_after_the_dead(self) -> None:
        """Settle what they left, if who looks silent is."""
        if not self._contact.knows_the_dead(self._clock.mono()):
            return
        if self.tables.session.fetch(sql.SILENT, self._pace.dead_s, self.tables.epoch):
            self._bury()

    def _connected(self) -> Session:
        if self._session is None:
            self._session = self.tables.session = Session(self._database, LEDGER)
        return self._session

    def _enter(self) -> None:
        """Begin a life among the replicas."""
        session = self.tables.session
        session.execute("BEGIN")
        self.tables.lock()
        [(epoch,)] = session.fetch(sql.JOIN)
        session.execute(sql.ENTER, epoch, socket.gethostname())
        session.execute("COMMIT")
        self.tables.epoch = epoch  # not before: a number that was not committed is somebody else's
        self._end()

    def _bury(self) -> None:
        """Settle what replicas left open that are not heard of any more."""
        session = self.tables.session
        session.execute("BEGIN")
        self.tables.lock()
        session.execute(sql.BURY, self._pace.dead_s, self.tables.epoch)
        now_us = self._clock.wall_us()
        left = self.journal.expire(now_us)
        for epoch, lost in groupby(session.fetch(sql.ORPHANED), itemgetter(0)):
            entries = [Entry(scope, window, Unit(unit), amount) for _, scope, window, unit, amount in lost]
            for each in entries:
                self.tables.hold(each.counter, each.amount)
            self.journal.burn(f"slices_of_{epoch}", entries, now_us)
        self.tables.flush()
        session.execute(sql.ORPHANS_GO)
        session.execute("COMMIT")
        self._end()
        if left:
            log.warning("settled %d calls that a dead process left open", left)

    def _end(self) -> None:
        """A transaction is durable."""
        self._known = self.tables.link
        self._contact.heard(self._begun_s)
        self.tables.forget()

    def _part(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _tell_head(self) -> None:
        if self._session is not None:
            reader = PostgresReader(self._session, self._database)
            self._anchor.tell(reader, self._known, self.tables.epoch)

    def _keep(self, head: Head) -> None:
        line = heads.dump(head).decode().rstrip("\n")
        try:
            self.tables.session.execute(sql.HEAD, head.size, line)
        except FAILURES as error:
            raise OSError(str(error)) from error


def join(database: Database, clock: Clock, pace: Pace, seal: Seal | None) -> PostgresBacking:
    """Join the replicas of a database, whose tables are made if missing. Blocks; its thread must run no loop.

    Raises `StoreRefused` where there is no such database, or it is not what its last head says.
    """
    asyncio.run(prepare(database))
    try:
        backing = PostgresBacking(database, clock, pace, seal)
        try:
            backing.join()
        except BaseException:
            backing.close(well=False)
            raise
    except (*FAILURES, Fenced) as error:
        raise unreachable(database, error) from error
    return backing
