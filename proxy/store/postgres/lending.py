"""Borrowing slices of hot limits, granting from them, and giving them back: between the loop and the writer.

`ledger.py` asks `spend` before it asks the database. What is granted so is durable in sum before anything is
spent, as the slice; the call's own row follows with the next batch, and nothing of the call's answer is shown
before it (`Granted.durable`). A replica that dies in between leaves its slice, which counts as used then.
"""

import asyncio
from collections.abc import Callable

from proxy.holds import Claim, Granted, Hold
from proxy.ports import Clock
from proxy.store.journal import Journal, Result, Work
from proxy.store.postgres.slices import IDLE_S, Slice, Slices, size_of
from proxy.store.postgres.tables import PostgresTables
from proxy.store.tables import Counted


class Lending:
    """What one replica borrows."""

    def __init__(self, tables: PostgresTables, alive: Callable[[], bool], clock: Clock) -> None:
        self._tables = tables
        """The writer's: touched only in what `recording`, `asking` and `returning` have it do."""
        self._alive = alive
        """Whether nobody can have taken this replica for dead: else its slices may be burnt already."""
        self._clock = clock
        self._slices, self._epoch = Slices(), 0
        self._swept_s = clock.mono()

    def spend(self, hold: Hold) -> Granted | None:
        """Grant from slices; None: the database has to be asked."""
        if not self._alive():
            return None
        balances = self._mine().spend(hold.claims, self._clock.mono())
        return None if balances is None else Granted(balances)

    def recording(self, hold: Hold) -> Callable[[Journal], None]:
        """Write the row of a hold that was granted from slices; once, for it is tried until it is there."""
        epoch = self._epoch

        def work(journal: Journal) -> None:
            tables = self._tables
            if tables.known(hold.call_id):
                return
            for claim in hold.claims:
                if tables.epoch == epoch:
                    tables.spend(claim.counter, claim.amount)
                else:  # this replica was given up meanwhile, and its slices are burnt
                    tables.hold(claim.counter, claim.amount)
            journal.record(hold)

        return work

    def asking(self, hold: Hold) -> "Asking":
        """Ask, giving back what ran dry and borrowing what is hot."""
        slices, now_s = self._mine(), self._clock.mono()
        dry = slices.give_up(hold.claims)
        hot = slices.hot(hold.claims, dry, now_s) if self._alive() else ()
        return Asking(self, slices, hold, dry, hot)

    def returning(self) -> Work | None:
        """Give back what lies idle; None: nothing does, or it was looked for a moment ago."""
        now_s = self._clock.mono()
        if now_s - self._swept_s < IDLE_S:
            return None
        self._swept_s = now_s
        idle, epoch = self._mine().idle(now_s), self._epoch
        return (lambda _: self.give_back(idle, epoch)) if idle else None

    @property
    def epoch(self) -> int:
        """The life that the slices are of."""
        return self._epoch

    def _mine(self) -> Slices:
        """The slices of this life: those of one before are burnt."""
        if self._epoch != self._tables.epoch:
            self._epoch, self._slices = self._tables.epoch, Slices()
        return self._slices

    def _borrow(self, claim: Claim, now_s: float) -> Slice | None:
        used, held = self._tables.look(claim.counter)
        amount = size_of(claim.ceiling, used + held, claim.amount)
        if not amount or not self._tables.borrow(claim.counter, amount):
            return None
        return Slice(claim.counter, claim.ceiling, used, held + amount, amount, now_s)

    def give_back(self, counters: tuple[Counted, ...], epoch: int) -> None:
        """Free what is left of slices; on the writer's thread."""
        # Requests are carried out in the order they were made: whatever was granted from a slice is
        # written by now, so that all that is still lent of it was never spent. What this replica had in
        # an earlier life is burnt, and what it has in this one was not meant.
        if self._tables.epoch == epoch:
            for counter in counters:
                self._tables.give_back(counter)

    def borrow(self, claims: tuple[Claim, ...], epoch: int) -> list[Slice]:
        """Set parts aside, as far as that is worth it; on the writer's thread."""
        if self._tables.epoch != epoch:
            return []
        now_s = self._clock.mono()
        return [each for claim in claims if (each := self._borrow(claim, now_s))]


class Asking:
    """One reservation that the database is asked for, with what is given back and borrowed on the way."""

    def __init__(
        self,
        lending: Lending,
        slices: Slices,
        hold: Hold,
        dry: tuple[Counted, ...],
        hot: tuple[Claim, ...],
    ) -> None:
        self._lending = lending
        self._slices = slices
        self._hold = hold
        self._dry = dry
        self._hot = hot
        self._epoch = lending.epoch
        self._turn = slices.turn
        self._lent: list[Slice] = []

    def work(self, journal: Journal) -> Result:
        """On the writer's thread."""
        self._lending.give_back(self._dry, self._epoch)
        answer = journal.reserve(self._hold)
        if isinstance(answer, Granted):
            self._lent = self._lending.borrow(self._hot, self._epoch)
        return answer

    def done(self, answered: asyncio.Future[Result]) -> None:
        """It was answered."""
        if answered.cancelled() or answered.exception() is not None:
            self.lost()
        else:
            self._slices.lend(self._lent, self._turn)

    def lost(self) -> None:
        """It was not asked, or nobody knows what came of it."""
        self._slices.owe((*self._dry, *(claim.counter for claim in self._hot)))
