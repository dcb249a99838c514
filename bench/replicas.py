"""What the ledger costs over PostgreSQL: durable calls of one replica and of four, with a hot limit and none.

Used by `__main__.py`. The server is started here, in the bench's build folder, with nothing of its flushing
taken away. The replicas are played in this one process, so that four of them share a core and an interpreter;
their calls are those of `ledger.py`, and so are their 64 callers. A limit that all callers share is hot: most
of its claims are granted from slices.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from time import perf_counter, process_time
from typing import Any

from msgspec.structs import replace

from bench.ledger import CALLERS, SEAL, Now, hold, settlement
from bench.processes import BUILD, Missing, family
from bench.systems import PROXY, System, served
from proxy.place import Database
from proxy.store import open_ledger
from tests.kit.postgres import Server, programs

CALLS = 20_000
REPLICAS = (1, 4)
LIMITED = {"none": False, "hot": True}
DURABLE = ("-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on")

Figures = dict[str, Any]


@dataclass
class Run:
    """One load: how many replicas, and whether their callers share a limit."""

    replicas: int
    limited: bool
    calls: int
    waits: list[float] = field(default_factory=list)
    """Seconds that each `reserve` took."""
    own: int = 0
    """Granted from slices."""

    async def through(self, database: Database, server: int) -> Figures:
        async with AsyncExitStack() as stack:
            opened = (
                open_ledger(database, clock=Now(), on_alert=print, seal=SEAL) for _ in range(self.replicas)
            )
            ledgers = [await stack.enter_async_context(each) for each in opened]
            began, worked, served = perf_counter(), process_time(), seconds_of(server)
            await asyncio.gather(*(self._caller(ledgers, name) for name in range(CALLERS)))
            took, worked = perf_counter() - began, process_time() - worked
            served = seconds_of(server) - served
        done = len(self.waits)
        cuts = quantiles(self.waits, n=100)
        return {
            "calls_per_s": done / took,
            "cpu_us": worked / done * 1e6,
            "server_cpu_us": served / done * 1e6,
            "reserve_p50_ms": cuts[49] * 1e3,
            "reserve_p99_ms": cuts[98] * 1e3,
            "from_slices": self.own / done,
        }

    async def _caller(self, ledgers: list[Any], name: int) -> None:
        ledger = ledgers[name % self.replicas]
        for turn in range(self.calls // CALLERS):
            asked = hold(f"{name}-{turn}")
            began = perf_counter()
            granted = await ledger.reserve(asked if self.limited else replace(asked, claims=()))
            self.waits.append(perf_counter() - began)
            self.own += granted.durable is not None
            ended = settlement(asked.call_id)
            await ledger.commit(ended if self.limited else replace(ended, charges=()))


def measure(*, quick: bool) -> Figures:
    """Every figure, by replicas and limit. Raises `Missing` where no server is installed."""
    calls = CALLS // 10 if quick else CALLS
    with server() as started:
        return {
            f"{replicas} {name}": asyncio.run(
                Run(replicas, limited, calls).through(started.database(), postmaster(started))
            )
            for replicas in REPLICAS
            for name, limited in LIMITED.items()
        }


@contextmanager
def server() -> Iterator[Server]:
    found = programs()
    if found is None:
        raise Missing(
            "no PostgreSQL server is installed (initdb, postgres); on Debian: apt-get install postgresql"
        )
    BUILD.mkdir(exist_ok=True)
    started = Server.made(found, DURABLE, BUILD)
    try:
        yield started
    finally:
        started.remove()


@contextmanager
def workers(count: int) -> Iterator[System]:
    """The proxy as so many workers behind one address. The server's own work is not counted to them."""
    with server() as started:
        ledger = str(started.database().url)
        config = PROXY.replace("sqlite:///ledger.db", ledger).replace(
            'probes: "off"', "probes: 127.0.0.1:18083"
        )
        with served(f"workers-{count}", config, "--workers", str(count)) as system:
            yield system


def postmaster(started: Server) -> int:
    return int((started.folder / "data" / "postmaster.pid").read_text().split()[0])


def seconds_of(pid: int) -> float:
    """Processor time of a process and of all below it that live."""
    ticks = 0
    for process in family(pid):
        # The name in brackets may have spaces in it.
        ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


TITLES: Mapping[str, str] = {
    "calls_per_s": "durable calls a second",
    "cpu_us": "processor of the replicas, a call (us)",
    "server_cpu_us": "processor of the server, a call (us)",
    "reserve_p50_ms": "reserve, median (ms)",
    "reserve_p99_ms": "reserve, p99 (ms)",
    "from_slices": "granted from slices",
}


def rows(found: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    """The lines of the table, a column for each load."""
    for name, title in TITLES.items():
        values = [figures[name] for figures in found.values()]
        yield title, *(f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in values)
