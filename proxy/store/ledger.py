"""The SQLite ledger: `proxy.ports.Ledger` over one file, one thread and one connection.

`app.py` opens it for the life of the process; the story reserves and settles through it. Nothing
here waits for the disk on the loop's thread, and no prompt or answer ever comes this way.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast

import apsw

from proxy.errors import Refused
from proxy.ports import Act, Alert, Claim, Clock, Declined, Granted, Hold, Progress, Reset, Settlement, Spent
from proxy.store import acts, retention
from proxy.store.anchor import Anchor
from proxy.store.fault import StoreRefused
from proxy.store.journal import Journal, Work
from proxy.store.seal import Seal
from proxy.store.sqlite.database import open_file, take_lock
from proxy.store.writer import OwnedFile, Pace, Writer

log = logging.getLogger("proxy.ledger")

DEFAULT_PACE = Pace()

T = TypeVar("T")


class SqliteLedger:
    """Two-phase and durable: what returns has been flushed to disk."""

    def __init__(self, path: Path, writer: Writer, clock: Clock, seal: Seal | None) -> None:
        self._path = path
        self._writer = writer
        self._clock = clock
        self._seal = seal
        self._pruning = asyncio.Lock()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be reserved just now, or None; for readiness."""
        return self._writer.trouble

    async def reserve(self, hold: Hold) -> Granted | Spent:
        """Hold every claim or none.

        Queued before the first suspension. If the awaiter is cancelled the reservation may still be
        granted: `release` it all the same, which queues behind and is harmless if it was refused.
        """
        at_us = hold.at_us
        answer = self._writer.submit(
            lambda journal: journal.reserve(hold),
            void=lambda journal: journal.void(hold.call_id, at_us),
        )
        return await cast(Awaitable[Granted | Spent], answer)

    async def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        """Add claims to an open reservation, all or none."""
        at_us = self._clock.wall_us()
        answer = self._writer.submit(
            lambda journal: journal.move(call_id, claims, at_us),
            void=lambda journal: journal.touch(),
        )
        return await cast(Awaitable[Granted | Spent], answer)

    def commit(self, settlement: Settlement) -> Awaitable[None]:
        """Settle to what was used. While the disk refuses, the await lasts; cancelling it loses nothing."""
        return self._settle("commit", settlement)

    def release(self, settlement: Settlement) -> Awaitable[None]:
        """Settle to what its charges say, as a call that came to nothing."""
        return self._settle("release", settlement)

    def note(self, progress: Progress) -> None:
        """Written with the next batch; alone, and not flushed, if none comes soon."""
        self._writer.note(progress.call_id, lambda journal: journal.progressed(progress))

    async def erased(self, act: Act, tenant: str) -> None:
        """Note an erasure. It was done already, so that it waits for the disk like a settlement."""
        await self._act(lambda journal: acts.note_erasure(journal, act, tenant), void=None)

    async def reset(self, act: Act, scope: str) -> tuple[Reset, ...]:
        """Set a counter back to nothing."""
        return await self._act(lambda journal: acts.reset(journal, act, scope))

    async def prune(self, act: Act, before_us: int) -> int:
        """Take away whole segments of old rows, and what a pruning that was killed left of them."""
        async with self._pruning:
            try:
                planned = await asyncio.to_thread(retention.plan, self._path, act, before_us)
            except StoreRefused as error:
                raise Declined(str(error)) from error
            if planned is not None:
                await self._act(lambda journal: retention.settle_stub(journal, planned, act, self._seal))
            while await self._act(retention.drop):
                pass
            self._writer.fold()
            await self._act(lambda journal: journal.touch())
        return 0 if planned is None else planned.rows

    async def _act(self, work: Callable[[Journal], T], void: Work | None = Journal.touch) -> T:
        """Have the writer do something for people. Raises `Declined` where it cannot be done now."""
        done: list[T] = []
        try:
            await self._writer.submit(lambda journal: done.append(work(journal)), void)
        except Refused as refused:
            raise Declined(str(refused)) from refused
        return done[-1]  # tried more than once if the disk refused: the last counts

    def _settle(self, kind: str, settlement: Settlement) -> Awaitable[None]:
        settled = self._writer.submit(lambda journal: journal.settle(kind, settlement), void=None)
        return cast(Awaitable[None], settled)


@asynccontextmanager
async def open_ledger(
    path: Path,
    *,
    clock: Clock,
    on_alert: Callable[[Alert], None],
    pace: Pace = DEFAULT_PACE,
    seal: Seal | None = None,
) -> AsyncIterator[SqliteLedger]:
    """Own the ledger at `path`: created if missing, checked, and dead calls settled before it is given.

    Raises `StoreRefused` if another process owns it or the file is not sound. Leaving the context
    writes what is queued and folds the WAL into the file. `on_alert` is called on the loop. `seal`
    signs the heads; without one they still show what they show to whoever trusts the place they lie in.
    """
    anchor = Anchor(path, seal, clock, pace.heads)
    loop = asyncio.get_running_loop()
    writer = await asyncio.to_thread(_own, path, anchor, clock.wall_us(), pace, on_alert, loop)
    writer.start()
    try:
        yield SqliteLedger(path, writer, clock, seal)
    finally:
        await asyncio.to_thread(writer.close)  # cancelled or not, the thread ends its work and the lock


def _own(
    path: Path,
    anchor: Anchor,
    now_us: int,
    pace: Pace,
    on_alert: Callable[[Alert], None],
    loop: asyncio.AbstractEventLoop,
) -> Writer:
    lock = take_lock(path)
    try:
        connection = open_file(path, pace.busy_ms)
        journal = _begin(connection, path, anchor, now_us)
        return Writer(OwnedFile(path, lock, anchor), journal, on_alert, pace, loop)
    except BaseException:
        os.close(lock)
        raise


def _begin(connection: apsw.Connection, path: Path, anchor: Anchor, now_us: int) -> Journal:
    """Trust the file as far as its last head goes, start an epoch, settle what earlier ones left open.

    All in one transaction: killed within, the next start does it again as if nothing had been.
    """
    try:
        anchor.compare(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE state SET epoch = epoch + 1")
        journal = Journal(connection, int(connection.execute("SELECT epoch FROM state").get))
        left = journal.expire(now_us)
        connection.execute("COMMIT")
    except apsw.Error as error:
        connection.close(True)
        raise StoreRefused(
            path, f"it cannot be written ({error})", "free its disk or end who locks it"
        ) from error
    except StoreRefused:
        connection.close(True)
        raise
    if left:
        log.warning("settled %d calls that an earlier process left open", left)
    return journal
