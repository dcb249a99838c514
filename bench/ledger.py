"""What the ledger costs: durable calls, a start on a ledger that is long, and calls on one.

Used by `__main__.py`. The ledger is opened in this process as the program opens it, on the disk that
holds the repository. A call is a reservation and its settlement, both durable; 64 callers make them as
fast as they are answered. Long ledgers are written once, without flushing, and kept in `build/`; calls are
made on a copy, so that they stay as long as their name says.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time, time_ns
from typing import Any

from bench.processes import BUILD
from proxy.call import Attempt, Billed, Identity, Outcome
from proxy.holds import Charge, Claim, Hold, Settlement
from proxy.store import open_ledger
from proxy.store.journal import Journal
from proxy.store.seal import Seal
from proxy.store.sqlite.database import open_file
from proxy.store.sqlite.tables import SqliteTables
from proxy.store.verify import verify
from proxy.table import Unit
from proxy.usage import Source, Usage

CALLERS = 64
CALLS = 20_000
ROUNDS = 5
"""How often an empty and a long ledger take turns; of each the least counts."""
LONG, LONGEST = 100_000, 10_000_000
"""Rows of the ledgers that are started on; the second only with `--long`: 4 GB, as much again while calls are
made on a copy, and ten minutes to write."""
TOGETHER = 1000
"""Calls in one transaction where a long ledger is written."""
SEAL = Seal(bytes(32))
WINDOW = 1_700_000_000
SCOPE = "tenant=bench/tokens/month"
IDENTITY = Identity("bench", "key_1")

Figures = dict[str, Any]


class Now:
    """This machine's clock."""

    def mono(self) -> float:
        return perf_counter()

    def wall_us(self) -> int:
        return time_ns() // 1000


def measure(*, long: bool, quick: bool) -> Figures:
    """Every figure of the ledger."""
    room = BUILD / "ledger"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    calls = CALLS // 10 if quick else CALLS
    found: Figures = asyncio.run(_calls(room / "ledger.db", calls))
    for rows in (LONG, LONGEST) if long else (LONG,):
        started = asyncio.run(_start(rows))
        if long:
            started |= _grown(rows, calls, 1 if quick else ROUNDS)
        found |= {f"{name}_{rows}": value for name, value in started.items()}
    return found


def _grown(rows: int, calls: int, rounds: int) -> Figures:
    """Processor time of a durable call on an empty ledger and on one of so many rows, which take turns."""
    room = BUILD / "ledger" / "grown"
    room.mkdir()
    grown = room / "long.db"
    with long_ledger(rows).open("rb") as source, grown.open("wb") as copy:  # closed well, so it has no WAL
        shutil.copyfileobj(source, copy, 1 << 20)
        os.fsync(copy.fileno())
    empty_us, cpu_us = [], []
    for turn in range(rounds):
        empty_us.append(asyncio.run(_calls(room / f"empty-{turn}.db", calls))["cpu_us"])
        cpu_us.append(asyncio.run(_calls(grown, calls))["cpu_us"])
    shutil.rmtree(room)
    return {"empty_us": min(empty_us), "grown_us": min(cpu_us)}


async def _calls(path: Path, calls: int) -> Figures:
    """Durable calls a second, and the processor time of one."""
    async with open_ledger(path, clock=Now(), on_alert=print, seal=SEAL) as ledger:

        async def caller(name: int) -> None:
            for turn in range(calls // CALLERS):
                # As the program names calls: neighbours in time are so in every index.
                call_id = f"req_{time_ns() // 1000:014x}{name:06x}{turn:08x}"
                await ledger.reserve(hold(call_id))
                await ledger.commit(settlement(call_id))

        began, worked = perf_counter(), process_time()
        await asyncio.gather(*(caller(name) for name in range(CALLERS)))
        took, worked = perf_counter() - began, process_time() - worked
    done = calls // CALLERS * CALLERS
    return {"calls_per_s": done / took, "cpu_us": worked / done * 1e6}


async def _start(rows: int) -> Figures:
    """From the call to an open ledger of so many rows, and how long all of them take to verify."""
    path = long_ledger(rows)
    began, worked = perf_counter(), process_time()
    async with open_ledger(path, clock=Now(), on_alert=print):
        ready, work = perf_counter() - began, process_time() - worked
    began, worked = perf_counter(), process_time()
    verdict = verify(path)
    took, worked = perf_counter() - began, process_time() - worked
    if verdict.faults:
        raise SystemExit(f"the ledger of the bench is not whole: {verdict.faults[0]}")
    return {"ready_s": ready, "ready_cpu_s": work, "verify_s": took, "verify_cpu_s": worked}


def long_ledger(rows: int) -> Path:
    """A ledger of so many rows, written if it is not there."""
    path = BUILD / f"long-{rows}" / "ledger.db"
    done = path.with_name("done")
    if done.exists():
        return path
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(parents=True)
    connection = open_file(path, 5000)
    connection.execute("PRAGMA synchronous = OFF; UPDATE state SET epoch = epoch + 1")
    tables = SqliteTables(connection, connection.execute("SELECT epoch FROM state").get)
    journal = Journal(tables)
    for start in range(0, rows // 2, TOGETHER):
        tables.begin()
        for number in range(start, min(start + TOGETHER, rows // 2)):
            journal.reserve(hold(f"c{number}"))
            journal.settle("commit", settlement(f"c{number}"))
        tables.flush()
        connection.execute("COMMIT")
    connection.close()
    done.touch()
    return path


def hold(call_id: str) -> Hold:
    """A call as a limit in tokens holds it."""
    claim = Claim(SCOPE, WINDOW, WINDOW + 2_592_000, Unit.TOKENS, 1200, 10**15, (75, 90))
    return Hold(call_id, time_ns() // 1000, IDENTITY, "gpt-4o", 900, 300, 5_250_000, (claim,))


def settlement(call_id: str) -> Settlement:
    """The same call, answered."""
    usage = Usage(250, 120, source=Source.REPORTED)
    attempt = Attempt("openai", "gpt-4o", "ok", 200, "content", 0, 420, 900, Billed.YES, usage)
    outcome = Outcome(
        call_id=call_id,
        identity=IDENTITY,
        model="gpt-4o",
        stream=True,
        status=200,
        result="ok",
        upstream="openai",
        upstream_model="gpt-4o",
        usage=usage,
        nano_usd=1_825_000,
        attempts=(attempt,),
        started_us=time_ns() // 1000,
        first_ms=420,
        total_ms=900,
    )
    return Settlement(outcome, time_ns() // 1000, (Charge(SCOPE, WINDOW, 370),))


def rows(found: Figures) -> Iterator[tuple[str, float]]:
    """The lines of the table."""
    yield "durable calls a second", found["calls_per_s"]
    yield "processor, a durable call (us)", found["cpu_us"]
    for count in (LONG, LONGEST):
        if f"ready_s_{count}" not in found:
            continue
        yield f"start on {count:,} rows (s)", found[f"ready_s_{count}"]
        yield f"verify {count:,} rows (s)", found[f"verify_s_{count}"]
        yield f"verify {count:,} rows, processor (s)", found[f"verify_cpu_s_{count}"]
        if f"grown_us_{count}" in found:
            empty_us, grown_us = found[f"empty_us_{count}"], found[f"grown_us_{count}"]
            yield f"processor, a durable call on {count:,} rows (us)", grown_us
            yield "… the same on none, in turn with it (us)", empty_us
            yield "… times as much as on none", grown_us / empty_us
