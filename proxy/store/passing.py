"""A ledger that passes with who opened it: the real rules and tables, in memory, on the loop's thread.

For a rehearsal, whose time is not the machine's: a thread and a disk would take as long as they like,
and no two runs would be alike. Everything is carried out at once and in order. It keeps nothing, so it
must never stand behind calls that are paid for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from proxy.holds import Alert, Claim, Granted, Hold, Progress, Settlement, Spent
from proxy.ports import Clock
from proxy.question import Repeated
from proxy.store.fault import Contested
from proxy.store.journal import Journal
from proxy.store.sqlite.database import in_memory
from proxy.store.sqlite.tables import SqliteTables

EPOCH = 1

T = TypeVar("T")


class PassingLedger:
    """The `Ledger` port, as durable as this process."""

    def __init__(self, tables: SqliteTables, clock: Clock, on_alert: Callable[[Alert], None]) -> None:
        self._tables = tables
        self._journal = Journal(tables)
        self._clock = clock
        self._on_alert = on_alert

    async def reserve(self, hold: Hold) -> Granted | Spent | Repeated:
        return self._do(lambda journal: journal.reserve(hold))

    async def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        at_us = self._clock.wall_us()
        return self._do(lambda journal: journal.move(call_id, claims, at_us))

    def commit(self, settlement: Settlement) -> Awaitable[None]:
        return self._settle("commit", settlement)

    def release(self, settlement: Settlement) -> Awaitable[None]:
        return self._settle("release", settlement)

    def note(self, progress: Progress) -> None:
        """Nothing: after a crash there is nobody who would ask."""

    def _settle(self, kind: str, settlement: Settlement) -> Awaitable[None]:
        self._do(lambda journal: journal.settle(kind, settlement))
        settled = asyncio.get_running_loop().create_future()
        settled.set_result(None)
        return settled

    def _do(self, work: Callable[[Journal], T]) -> T:
        tables = self._tables
        tables.begin()
        try:
            answer = self._journal.attempt(work)
            tables.flush()
        except Contested:
            tables.connection.execute("ROLLBACK")
            tables.forget()
            self._journal.forget()
            raise
        tables.connection.execute("COMMIT")
        alerts = tuple(self._journal.alerts)
        self._journal.alerts.clear()
        for alert in alerts:
            self._on_alert(alert)
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def open_passing(clock: Clock, on_alert: Callable[[Alert], None]) -> Iterator[PassingLedger]:
    """A ledger with nothing in it, for as long as the context is open."""
    connection = in_memory()
    try:
        yield PassingLedger(SqliteTables(connection, EPOCH), clock, on_alert)
    finally:
        connection.close(True)
