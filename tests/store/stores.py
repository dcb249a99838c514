"""The stores that the one suite runs over. Add a class here, and a fixture in `conftest.py` that opens it."""

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from proxy.place import Database, Place
from proxy.store import open_ledger
from proxy.store.bell import Bell
from proxy.store.heads import heads_path
from proxy.store.ledger import DurableLedger
from proxy.store.pace import Pace
from proxy.store.reader import open_reader
from proxy.store.verify import verify
from tests.kit.postgres import Server
from tests.store.making import StillClock


class Store:
    """A ledger of its own, and what the tests may see of it from outside."""

    place: Place

    def __init__(self) -> None:
        self.alerts: list[Any] = []

    def pace(self, wanted: Pace) -> Pace:
        return wanted

    @asynccontextmanager
    async def open(self, pace: Pace | None = None, **options: Any):
        paced = self.pace(pace or Pace())
        async with open_ledger(
            self.place, clock=StillClock(), on_alert=self.alerts.append, pace=paced, **options
        ) as ledger:
            yield ledger

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return beside(lambda: self._query(sql, values))

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
        return beside(lambda: verify(self.place).faults)

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with closing(open_reader(self.place)) as reader:
            return list(reader.select(sql, *values))


class SqliteStore(Store):
    """A file in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.place = self.path = folder / "ledger.db"

    def copied(self, folder: Path) -> "SqliteStore":
        """A ledger that is the same, heads included."""
        for path in (self.path, heads_path(self.path)):
            if path.exists():
                shutil.copy(path, folder)
        return SqliteStore(folder)


class PostgresStore(Store):
    """A database on a server that the tests started."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.place = database

    def copied(self, server: Server) -> "PostgresStore":
        """A database of the same server that is the same; nobody may be connected to this one."""
        return PostgresStore(server.database("-T", self.place.url.partition("?")[0].rpartition("/")[2]))

    def pace(self, wanted: Pace) -> Pace:
        """Whoever is not heard of is dead at once: no test waits for a silence."""
        return replace(wanted, dead_s=0.0)


async def together(ledger: DurableLedger, *asked: Callable[[], Any]) -> list[Any]:
    """Ask all of this in one batch; what came of each."""
    bell = ledger._writer._bell
    bell.ring = Bell().ring  # nobody hears it
    waiting = [asyncio.ensure_future(ask()) for ask in asked]
    await asyncio.sleep(0)  # each has queued
    del bell.ring
    bell.ring()
    return await asyncio.gather(*waiting, return_exceptions=True)


def beside(work: Callable[[], Any]) -> Any:
    """The result of what may run no loop, from within one or without."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
