"""The ledger: `proxy.ports.Ledger` over one writer, whatever database is beneath.

`app.py` opens it for the life of the process; the story reserves and settles through it. Nothing
here waits for a disk on the loop's thread, and no prompt or answer ever comes this way.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec.structs import replace

from proxy.errors import Refused, unavailable
from proxy.holds import Alert, Claim, Granted, Hold, Progress, Pulse, Settlement, Spent
from proxy.place import Place
from proxy.ports import Act, Clock, Declined, Reset
from proxy.question import Repeated
from proxy.store import acts, report, retention
from proxy.store.backing import Backing, Lending
from proxy.store.databases import beneath
from proxy.store.fault import StoreRefused
from proxy.store.journal import Journal, Work
from proxy.store.pace import Pace
from proxy.store.seal import Seal
from proxy.store.tables import Counted, Touched
from proxy.store.writer import Writer

log = logging.getLogger("proxy.ledger")

DEFAULT_PACE = Pace()

T = TypeVar("T")


class Written:
    """Awaited by whoever wants what was queued so far to be on the disk; others leave it alone.

    A writer that is waited for writes at once, and one that is not takes its time.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._writer.caught_up()


class DurableLedger:
    """Two-phase and durable: what `reserve` grants is on disk, or is once its `durable` is done."""

    def __init__(self, place: Place, writer: Writer, clock: Clock, seal: Seal | None) -> None:
        self._place = place
        self._writer = writer
        self._written = Written(writer)
        self._lending = writer.lending
        self._clock = clock
        self._seal = seal
        self._pruning = asyncio.Lock()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be reserved just now, or None; for readiness."""
        return self._writer.trouble

    @property
    def pulse(self) -> Pulse:
        """How the writing goes; for metrics."""
        return self._writer.pulse

    async def reserve(self, hold: Hold) -> Granted | Spent | Repeated:
        """Hold every claim or none; nothing where its question was asked before.

        Queued before the first suspension. If the awaiter is cancelled the reservation may still be
        granted: `release` it all the same, which queues behind and is harmless if it was refused.
        """
        if self._lending is not None:
            return await self._share(hold, self._lending)
        return await self._ask(hold, lambda journal: journal.reserve(hold))

    async def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        """Add claims to an open reservation, all or none."""
        at_us = self._clock.wall_us()
        return await self._writer.submit(
            lambda journal: journal.move(call_id, claims, at_us),
            void=Journal.touch,
            touched=Touched(call_id, claims),
        )

    def commit(self, settlement: Settlement) -> Awaitable[None]:
        """Settle to what was used. Unless it is awaited it goes with the next batch, a moment later at most.

        While the disk refuses, the await lasts; cancelling it loses nothing.
        """
        return self._settle("commit", settlement)

    def release(self, settlement: Settlement) -> Awaitable[None]:
        """Settle to what its charges say, as a call that came to nothing."""
        return self._settle("release", settlement)

    def note(self, progress: Progress) -> None:
        """Written with the next batch; alone, and not flushed, if none comes soon."""
        self._writer.note(progress.call_id, lambda journal: journal.progressed(progress))

    async def look(self, claims: Iterable[Claim]) -> Mapping[Counted, tuple[int, int]]:
        """What stands on the counters that `claims` name, read beside the writer. Raises `Refused` 503."""
        counters = tuple(claim.counter for claim in claims)
        try:
            return await asyncio.to_thread(report.stands, self._place, counters)
        except StoreRefused as error:
            log.error("the counters cannot be read: %s", error)  # noqa: TRY400 - its words are all there is
            message = "The counters of limits cannot be read just now."
            raise unavailable(message, "ledger_unavailable") from None

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
                key = self._seal.public_key if self._seal else None
                planned = await asyncio.to_thread(retention.plan, self._place, act, before_us, key)
            except StoreRefused as error:
                raise Declined(str(error)) from error
            if planned is not None:
                await self._act(lambda journal: retention.settle_stub(journal, planned, act, self._seal))
            while await self._act(retention.drop):
                pass
            self._writer.fold()
            await self._act(Journal.touch)
        return 0 if planned is None else planned.rows

    async def _act(self, work: Callable[[Journal], T], void: Work | None = Journal.touch) -> T:
        """Have the writer do something for people. Raises `Declined` where it cannot be done now."""
        try:
            return await self._writer.submit(work, void)
        except Refused as refused:
            raise Declined(str(refused)) from refused

    async def _share(self, hold: Hold, lending: Lending) -> Granted | Spent | Repeated:
        """Reserve where others do: from what was borrowed, or by asking and perhaps borrowing.

        Whether a question was asked before, only the database knows.
        """
        idle = lending.returning()
        if idle is not None:
            self._writer.leave(idle)
        granted = lending.spend(hold) if self.trouble is None and hold.question is None else None
        if granted is not None:
            recorded = self._writer.submit(lending.recording(hold), None, Touched(hold.call_id, hold.claims))
            return replace(granted, durable=recorded)
        asking = lending.asking(hold)
        try:
            answer = self._ask(hold, asking.work)
        except Refused:
            asking.lost()
            raise
        answer.add_done_callback(asking.done)
        # Shielded, so that what was borrowed meanwhile is known here whether or not the caller stays.
        return await asyncio.shield(answer)

    def _ask(self, hold: Hold, work: Callable[[Journal], T]) -> asyncio.Future[T]:
        return self._writer.submit(
            work,
            void=lambda journal: journal.void(hold),
            touched=Touched(hold.call_id, hold.claims, hold.question),
        )

    def _settle(self, kind: str, settlement: Settlement) -> Awaitable[None]:
        touched = Touched(settlement.outcome.call_id, (), settlement.question)
        self._writer.leave(lambda journal: journal.settle(kind, settlement), touched)
        return self._written


@asynccontextmanager
async def open_ledger(
    place: Place,
    *,
    clock: Clock,
    on_alert: Callable[[Alert], None],
    pace: Pace = DEFAULT_PACE,
    seal: Seal | None = None,
) -> AsyncIterator[DurableLedger]:
    """Own a ledger's file, or join a database's replicas: made if missing, checked, dead calls settled.

    Raises `StoreRefused` if another process owns the file, or it is not sound, or there is no such database.
    Leaving the context writes what is queued. `on_alert` is called on the loop. `seal` signs the heads;
    unsigned ones prove as much as the place can be trusted that they are kept in.
    """
    backing: Backing = await asyncio.to_thread(beneath(place).open_backing, place, clock, pace, seal)
    writer = Writer(backing, on_alert, pace, asyncio.get_running_loop())
    writer.start()
    try:
        yield DurableLedger(place, writer, clock, seal)
    finally:
        await asyncio.to_thread(writer.close)  # cancelled or not, the thread ends its work and parts with it
