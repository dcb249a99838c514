"""The one thread that writes the ledger: natural group commit, and honesty when the database says no.

Whatever queued while the last flush ran is the next batch: one transaction, one flush, one wake-up
of the loop. What nobody waits for, a settlement above all, does not begin a batch: it goes with the next
one, or by itself a moment later. A future resolves only after its COMMIT returned. If a batch fails,
reservations in it are refused (503) and settlements are kept and tried again until the cause has gone; no
restart is needed. `ledger.py` submits; nobody else touches the database while the thread lives.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec import Struct

from proxy.holds import Alert, Pulse
from proxy.store.backing import Backing, Lending, Note
from proxy.store.bell import Bell
from proxy.store.fault import Contested, Misuse, StoreRefused, cannot_write, too_busy
from proxy.store.journal import Journal, Work
from proxy.store.pace import Pace
from proxy.store.pulse import Commits
from proxy.store.tables import Touched

log = logging.getLogger("proxy.ledger")


NOTHING = Touched()

T = TypeVar("T")

Told = tuple[asyncio.Future[Any], object]
"""Who waits, and what came of the request, or the error that did."""


class Job(Struct, frozen=True, eq=False):
    """One request and who waits for it."""

    work: Work
    future: asyncio.Future[Any] | None
    """None: nobody waits for it."""
    void: Work | None
    """For what may be refused: how to undo it should it be on disk after all. None: it is kept."""
    touched: Touched = NOTHING


class Writer:
    """The thread and its queue."""

    def __init__(
        self,
        backing: Backing,
        on_alert: Callable[[Alert], None],
        pace: Pace,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._backing = backing
        self.lending = backing.lending
        self._journal = backing.journal
        self._failures: tuple[type[Exception], ...] = (*backing.failures, StoreRefused)
        self._on_alert = on_alert
        self._commits = Commits()
        self._pace = pace
        self._loop = loop
        self._queue: deque[Job] = deque()
        self._lock = threading.Lock()
        """Held for what both threads change: the queue, the notes, and how it ends."""
        self._bell = Bell()
        """Rung for all that is to be done now; what nobody waits for lies in the queue without it."""
        self._hurrying = False
        """Whether the loop will ring in a moment, for what nobody waits for."""
        self._alone = 0
        """So many of the next requests have a batch of their own each: one of them cannot be written."""
        self._batch: list[Job] = []
        """Taken from the queue and not yet answered or put back."""
        self._notes: dict[str, Note] = {}
        """The latest of each call that is still to be written: no more than there are calls under way."""
        self._closing = False
        self._closing_s: float | None = None
        self._ended = False
        self.trouble: str | None = None
        """Why the ledger cannot write just now, for readiness; None when it can."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Begin; first tells the alerts that settling dead calls raised."""
        self._tell_alerts()
        self._thread.start()

    @property
    def pulse(self) -> Pulse:
        """How it fares."""
        commits = self._commits
        return Pulse(self.trouble is None, len(self._queue), commits.counts, commits.total_s)

    def submit(
        self, work: Callable[[Journal], T], void: Work | None, touched: Touched = NOTHING
    ) -> asyncio.Future[T]:
        """Queue a request before returning; only one that can be undone (`void`) may be refused."""
        with self._lock:
            if self._ended:
                raise cannot_write()
            if void is not None and (self.trouble is not None or self._closing):
                raise cannot_write()
            if void is not None and len(self._queue) >= self._pace.queue:
                raise too_busy()
            future: asyncio.Future[T] = self._loop.create_future()
            self._queue.append(Job(work, future, void, touched))
        self._bell.ring()
        return future

    def leave(self, work: Work, touched: Touched = NOTHING) -> None:
        """Queue a request that nobody waits for: it goes with the next batch, `gather_s` from now at most."""
        with self._lock:
            if self._ended:
                raise cannot_write()
            self._queue.append(Job(work, None, None, touched))
        if not self._hurrying:
            self._hurrying = True
            self._loop.call_later(self._pace.gather_s, self._hurry)

    def caught_up(self) -> asyncio.Future[None]:
        """Done when all that is queued by now is written."""
        return self.submit(_nothing, None)

    def note(self, call_id: str, note: Note) -> None:
        """Have a note written when that costs little; it may be lost, and is of no use once closing."""
        with self._lock:
            first = not self._notes
            self._notes[call_id] = note
        if first:
            self._bell.ring()  # how long it sleeps depends on it

    def fold(self) -> None:
        """Have what was deleted leave the disk with the next batch."""
        self._backing.fold()

    def close(self) -> None:
        """Write all that is queued and part with the database. Blocks."""
        with self._lock:
            self._closing, self._closing_s = True, self._loop.time()
        self._bell.ring()
        self._thread.join()

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        # Whatever ends this thread, a defect included, nobody is left waiting for it.
        try:
            self._serve()
        finally:
            self._end()

    def _serve(self) -> None:
        self._backing.settled()
        while not self._given_up():
            batch = self._take()
            if batch is None:
                return
            if not batch:
                self._rest()
                continue
            self._write(batch)
            if self._in_a_rush(batch):
                self._pace.pause(self._pace.gather_s)

    def _given_up(self) -> bool:
        """Whether it ends with something that could not be written."""
        if self._closing_s is None or self.trouble is None:
            return False
        with self._lock:
            owed = _owed(self._queue)
        return not owed or self._loop.time() - self._closing_s >= self._pace.last_s

    def _in_a_rush(self, written: list[Job]) -> bool:
        """Whether so many waited for this batch that more will be on their way."""
        waited = len([job for job in written if job.future is not None])
        return waited >= self._pace.crowd and self.trouble is None and not self._closing

    def _take(self) -> list[Job] | None:
        """The next batch; empty when it has been quiet for a while, None when all is done."""
        if self.trouble is not None:
            self._pace.pause(self._pace.retry_s)  # whoever calls meanwhile
        while True:
            heard = self._closing or self._bell.heard(self._patience())
            with self._lock:
                self._batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._room()))]
                if self._queue:
                    self._bell.ring()  # for the rest
                if self._batch or not heard:
                    return self._batch
                if self._closing:
                    return None

    def _room(self) -> int:
        """How many requests the next batch may have."""
        if self._alone == 0 or not self._queue:
            return self._pace.batch
        self._alone -= 1
        return 1

    def _write(self, batch: list[Job]) -> None:
        committing, notes = False, self._take_notes()
        try:
            self._backing.begin([job.touched for job in batch])
            answers: list[object] = [self._journal.attempt(job.work) for job in batch]
            for note in notes.values():
                note(self._journal)
            committing, began_s = True, self._pace.stopwatch()
            self._backing.commit()
            self._commits.add(self._pace.stopwatch() - began_s)
        except Contested as error:
            self._part(batch, notes, error)
            return
        except self._failures as error:
            self._fail(batch, error, unsure=committing)
            return
        self._batch = []
        self._succeed(batch, answers)
        self._backing.settled()
        self._tell_alerts()

    def _succeed(self, batch: list[Job], answers: list[object]) -> None:
        if self.trouble is not None:
            log.warning("the ledger writes again")
            self.trouble = None
        pairs = []
        for job, answer in zip(batch, answers, strict=True):
            if job.future is not None:
                pairs.append((job.future, answer))
            if job.void is None and isinstance(answer, Exception):
                log.error("what may not be refused could not be written and stays open: %r", answer)
        alerts = tuple(self._journal.alerts)
        self._journal.alerts.clear()
        if pairs or alerts:  # else the loop is left asleep
            self._tell(pairs, alerts)

    def _part(self, batch: list[Job], notes: dict[str, Note], error: Contested) -> None:
        """Try each request alone, so that only the one whose row cannot be is refused, and no neighbour.

        The notes that rode with the batch ride with the next.
        """
        self._journal.forget()
        self._backing.undo(error, unsure=False)
        if len(batch) == 1:
            [job] = batch
            batch = [Job(_refusal(error), job.future, job.void, job.touched)]
        with self._lock:
            self._queue.extendleft(reversed(batch))
            self._alone += len(batch)
            self._batch = []
            self._notes = notes | self._notes
        self._bell.ring()

    def _fail(self, batch: list[Job], error: Exception, *, unsure: bool) -> None:
        told = ": ".join(filter(None, (type(error).__name__, str(error))))  # a timeout says nothing
        if self.trouble is None:
            log.error("the ledger cannot write: %s", told)
        self.trouble = told
        self._journal.forget()
        self._backing.undo(error, unsure=unsure)
        kept = []
        for job in batch:
            if job.void is None:
                kept.append(job)
            elif unsure:
                # COMMIT failed, yet it may be on the disk: free whatever turns out to be there.
                kept.append(Job(job.void, None, None, job.touched))
        with self._lock:
            if not kept and not self._queue:
                kept.append(Job(Journal.touch, None, None))
            self._queue.extendleft(reversed(kept))
            self._batch = []
        self._bell.ring()
        self._tell([(job.future, cannot_write()) for job in batch if job.void and job.future], ())

    # -- when it is quiet -------------------------------------------------------------------------

    def _patience(self) -> float | None:
        """How long to wait for the next request before doing something else; None: there is nothing else."""
        if self._notes:
            return self._pace.note_s
        return self._pace.idle_s if self._backing.restless() else None

    def _take_notes(self) -> dict[str, Note]:
        with self._lock:
            notes, self._notes = self._notes, {}
        return notes

    def _rest(self) -> None:
        if self._notes and self.trouble is None:
            self._backing.whisper(tuple(self._take_notes().values()))
            return
        try:
            self._backing.rest()
        except self._failures as error:
            self._fail([], error, unsure=False)
        else:
            self._tell_alerts()
            if self.lending is not None:
                self._call(self._return_idle, self.lending)

    def _end(self) -> None:
        with self._lock:
            left = [*self._batch, *self._queue]
            self._ended = True
            self._queue.clear()
            if not self._closing:
                self.trouble = "the ledger's writer has stopped"
        if owed := _owed(left):
            log.critical("%d requests could not be written; the next start settles their calls", owed)
        if left:
            self._tell([(job.future, cannot_write()) for job in left if job.future], ())
        self._backing.close(well=not left)

    # -- back to the loop -------------------------------------------------------------------------

    def _tell_alerts(self) -> None:
        """Those that settling dead calls raised."""
        if self._journal.alerts:
            alerts = tuple(self._journal.alerts)
            self._journal.alerts.clear()
            self._tell((), alerts)

    def _tell(
        self,
        pairs: Iterable[Told],
        alerts: tuple[Alert, ...],
    ) -> None:
        self._call(self._deliver, pairs, alerts)

    def _call(self, callback: Callable[..., None], *values: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *values)
        except RuntimeError:
            log.warning("the loop is gone; nobody waits for the ledger any more")

    def _return_idle(self, lending: Lending) -> None:
        """On the loop: have given back what lies idle."""
        work = lending.returning()
        if work is not None and not self._ended:
            self.leave(work)

    def _hurry(self) -> None:
        """On the loop: what was left a moment ago is written now, unless a batch has taken it."""
        self._hurrying = False
        if self._queue:
            self._bell.ring()

    def _deliver(
        self,
        pairs: Iterable[Told],
        alerts: tuple[Alert, ...],
    ) -> None:
        for future, answer in pairs:
            if future.done():
                continue  # the awaiter was cancelled; what was written stays written
            if isinstance(answer, Exception):
                future.set_exception(answer)
                future.exception()  # heard: who waits for none, as for a settlement, has it in the log
            else:
                future.set_result(answer)
        for alert in alerts:
            self._on_alert(alert)


def _nothing(_journal: Journal) -> None:
    """It is waited for what was asked before."""


def _owed(jobs: Iterable[Job]) -> int:
    """How many of them anybody would miss: who ends need not learn whether the database writes again."""
    return sum(job.work is not Journal.touch for job in jobs)


def _refusal(error: Contested) -> Work:
    """A request that is refused as the database refused it."""

    def refuse(_journal: Journal) -> None:
        raise Misuse(str(error)) from error

    return refuse
