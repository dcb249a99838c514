"""The stores that the one suite runs over. Add a class here and its name to `STORES`."""

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.store import open_ledger
from proxy.store.sqlite.database import open_reader
from proxy.store.verify import verify
from proxy.store.writer import Pace
from tests.store.making import StillClock


class SqliteStore:
    """A ledger in a file of its own, and what the tests may see of it from outside."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        self.alerts: list[Any] = []

    @asynccontextmanager
    async def open(self, pace: Pace | None = None, **options: Any):
        pace = pace or Pace()
        async with open_ledger(
            self.path, clock=StillClock(), on_alert=self.alerts.append, pace=pace, **options
        ) as ledger:
            yield ledger

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = open_reader(self.path)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def balance(self, scope: str = "tenant=acme/tokens/day") -> tuple[int, int]:
        """(used, held), zero where nothing was ever held."""
        found = self.query("SELECT used, held FROM balances WHERE scope = ?", scope)
        return found[0] if found else (0, 0)

    def kinds(self, call_id: str) -> list[str]:
        """The rows of a call, in order."""
        sql = "SELECT kind FROM rows WHERE call_id = ? AND kind <> 'alert' ORDER BY seq"
        return [kind for (kind,) in self.query(sql, call_id)]

    def faults(self) -> tuple[str, ...]:
        """Where rows, hashes, heads and balances disagree."""
        return verify(self.path).faults


STORES = {"sqlite": SqliteStore}
