"""Borrowing slices of hot limits, granting from them, and giving them back: between the loop and the writer.

`ledger.py` asks `spend` before it asks the database. What is granted so is durable in sum before anything is
spent, as the slice; the call's own row follows with the next batch, and nothing of the call's answer is shown
before it (`Granted.durable`). A replica that dies in between leaves its slice, which counts as used then.
"""

import asyncio
from collections.abc import Callable

from proxy.ports import Claim, Clock, Granted, Hold
from proxy.store.journal import Journal, Result, Work
from proxy.store.postgres.slices import Slice, Slices, size_of
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

    def spend(self, hold: Hold) -> Granted | None:
        """Grant from slices; None: the database has to be asked."""
        if not self._alive():
            return None
        balances = self._mine().spend(hold.claims, self._clock.mono())
        return None if balances is None else Granted(balances)

    def recording(self, hold: Hold) -> Work:
        """Write the row of a hold that was granted from slices."""

        def work(journal: Journal) -> None:
            for claim in hold.claims:
                self._tables.spend(claim.counter, claim.amount)
            journal.record(hold)

        return work

    def asking(self, hold: Hold) -> tuple[Work, Callable[[asyncio.Future[Result]], None]]:
        """Ask, giving back what ran dry and borrowing what is hot; and what to do when it is done."""
        slices, now_s = self._mine(), self._clock.mono()
        dry = slices.give_up(hold.claims)
        hot = slices.hot(hold.claims, dry, now_s) if self._alive() else ()
        turn = slices.turn
        lent: list[Slice] = []

        def work(journal: Journal) -> Result:
            self._give_back(dry)
            answer = journal.reserve(hold)
            if isinstance(answer, Granted):
                lent.extend(filter(None, (self._borrow(claim, now_s) for claim in hot)))
            return answer

        def done(answered: asyncio.Future[Result]) -> None:
            if answered.exception() is None:
                slices.lend(lent, turn)
            else:
                # If it was borrowed all the same, nobody knows of it here: have it given back.
                slices.owe((*dry, *(claim.counter for claim in hot)))

        return work, done

    def returning(self) -> Work | None:
        """Give back what lies idle; None: nothing does."""
        idle = self._mine().idle(self._clock.mono())
        return (lambda _: self._give_back(idle)) if idle else None

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

    def _give_back(self, counters: tuple[Counted, ...]) -> None:
        # Requests are carried out in the order they were made: whatever was granted from a slice is
        # written by now, so that all that is still lent of it was never spent.
        for counter in counters:
            self._tables.give_back(counter)
