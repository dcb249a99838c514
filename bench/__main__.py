"""`make bench`: measure, print the tables, keep the figures in `bench/results/`.

Arguments: what to measure (`nginx`, `fallthrough`, `translation`, `ledger`, `goodput`: these if none is
named; or `flat`, or a peer), `--quick` for a first look, `--long` for a start and calls on ten million rows.
What is missing on the machine is named and skipped.
"""

import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import flat, goodput, ledger, peers, replicas, systems, translation
from bench.processes import BUILD, HERE, Missing, build, flush_us
from bench.systems import System
from bench.workloads import Bench, Figures, measure, rows

SYSTEMS: Mapping[str, Any] = {
    "nginx": systems.nginx,
    "haproxy": peers.haproxy,
    "envoy": peers.envoy,
    "litellm": peers.litellm,
    "portkey": peers.portkey,
    "fallthrough": systems.fallthrough,
    "workers-1": partial(replicas.workers, 1),
    "workers-2": partial(replicas.workers, 2),
    "workers-4": partial(replicas.workers, 4),
}
ALWAYS = ("nginx", "fallthrough")
"""Measured if nothing is asked for; the others by name, or by `make bench-peers`."""


TRANSLATION, LEDGER = "translation", "ledger"
"""What needs no process beside this one."""
GOODPUT, FLAT = "goodput", "flat"
WIDTH = 140
"""Columns of a table in a file."""


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; 1 if any of it could not be measured."""
    known = (*SYSTEMS, TRANSLATION, LEDGER, GOODPUT, FLAT)
    names = [name for name in arguments if name in known] or (*ALWAYS, TRANSLATION, LEDGER, GOODPUT)
    quick = "--quick" in arguments
    record: dict[str, Any] = {"load_average": os.getloadavg()[0], "skipped": {}}
    if TRANSLATION in names:
        say(TRANSLATION)
        record[TRANSLATION] = translation.measure(1 if quick else 7)
        show_translation(record[TRANSLATION])
    if LEDGER in names:
        say(LEDGER)
        record[LEDGER] = ledger.measure(long="--long" in arguments, quick=quick)
        show_ledger(record[LEDGER])
        measure_replicas(record, quick=quick)
    if GOODPUT in names:
        say(GOODPUT)
        measure_goodput(record, quick=quick)
    if FLAT in names:
        say(FLAT)
        measure_flat(record, quick=quick)
    if set(names) & set(SYSTEMS):
        measure_systems([name for name in names if name in SYSTEMS], record, quick=quick)
    keep(record)
    return 1 if "fallthrough" in record["skipped"] else 0


def measure_replicas(record: dict[str, Any], *, quick: bool) -> None:
    """The ledger over PostgreSQL, if there is a server to start."""
    try:
        record["replicas"] = replicas.measure(quick=quick)
    except Missing as missing:
        record["skipped"]["the ledger over PostgreSQL"] = str(missing)
        sys.stdout.write(f"The ledger over PostgreSQL was not measured: {missing}\n")
        return
    table = Table("over PostgreSQL: replicas, limit", *record["replicas"])
    for line in replicas.rows(record["replicas"]):
        table.add_row(*line)
    show_table(table)


def measure_goodput(record: dict[str, Any], *, quick: bool) -> None:
    """Answers in time when more is asked than can be given."""
    try:
        build()
        with systems.mock():
            record[GOODPUT] = goodput.measure(quick=quick)
    except Missing as missing:
        record["skipped"][GOODPUT] = str(missing)
        sys.stdout.write(f"Goodput was not measured: {missing}\n")
        return
    table = Table("goodput: offered, times capacity", *(f"{times:g}" for times in goodput.OFFERED))
    for line in goodput.rows(record[GOODPUT]):
        table.add_row(*line)
    show_table(table)


def measure_flat(record: dict[str, Any], *, quick: bool) -> None:
    """What a call costs where there is more of everything."""
    try:
        build()
        with systems.mock() as mock:
            record[FLAT] = flat.measure(Bench(mock.pid, 1.0, 1) if quick else Bench(mock.pid))
    except Missing as missing:
        record["skipped"][FLAT] = str(missing)
        sys.stdout.write(f"Whether it is flat was not measured: {missing}\n")
        return
    table = Table(interpreter(), *flat.COLUMNS, title="processor, a whole call (us)")
    for line in flat.rows(record[FLAT]):
        table.add_row(*line)
    show_table(table)


def measure_systems(names: Sequence[str], record: dict[str, Any], *, quick: bool) -> None:
    """The same load through each system, and directly."""
    results: dict[str, Figures] = {}
    try:
        build()
    except Missing as missing:
        sys.exit(f"The bench cannot run: {missing}")
    with systems.mock() as mock:
        bench = Bench(mock.pid, 1.0, 1) if quick else Bench(mock.pid)
        say("direct")
        results["direct"] = measure(bench, mock)
        for name in names:
            say(name)
            try:
                results[name] = measured(bench, SYSTEMS[name]())
            except Missing as missing:
                record["skipped"][name] = str(missing)
    flush = flush_us(BUILD)
    show(results)
    sys.stdout.write(f"A call waits for two ledger rows; this disk makes one durable in {flush:,.0f} us.\n")
    for name, reason in record["skipped"].items():
        sys.stdout.write(f"{name} was not measured: {reason}\n")
    record |= {"flush_us": flush, "systems": results}


def measured(bench: Bench, system: AbstractContextManager[System]) -> Figures:
    """Start one system, measure it, stop it."""
    with system as running:
        return measure(bench, running)


def show_table(table: Table) -> None:
    """As wide as the terminal; where there is none, as wide as the widest of ours."""
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def show_ledger(found: Figures) -> None:
    """The ledger's table on standard output."""
    table = Table("ledger", "")
    for title, value in ledger.rows(found):
        table.add_row(title, f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
    show_table(table)


def say(name: str) -> None:
    """What is under way, for those who wait."""
    sys.stderr.write(f"measuring {name} …\n")


def show(results: dict[str, Figures]) -> None:
    """The table on standard output."""
    table = Table(interpreter(), *results)
    for title, read in rows(results):
        table.add_row(title, *(cell(read, figures) for figures in results.values()))
    show_table(table)


def show_translation(found: Figures) -> None:
    """Two tables: events by how they come, requests by their size."""
    events, requests = translation.rows(found)
    tables = (
        (Table("processor, an event translated (us)", "alone", "in a rush"), events),
        (
            Table("processor, a request translated (us)", *map(translation.title, translation.HISTORIES)),
            requests,
        ),
    )
    for table, lines in tables:
        for line in lines:
            table.add_row(*line)
        show_table(table)


def cell(read: Callable[[Figures], Any], figures: Figures) -> str:
    """One figure, two with what lies between them, or a dash where the system has none."""
    try:
        value = read(figures)
    except KeyError:
        return "-"
    if isinstance(value, tuple):
        return " to ".join(map(rounded, value))
    return "-" if value is None else rounded(value)


def rounded(value: float) -> str:
    """A figure as the tables have it."""
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.0f}"


def interpreter() -> str:
    """The Python that everything of ours is measured on, and how it was configured: that is worth some 15 %.

    Some who package it add PGO and LTO afterwards and leave no sign of it, so that no more can be said.
    """
    name = f"{platform.python_implementation()} {platform.python_version()}"
    asked = sysconfig.get_config_var("CONFIG_ARGS")
    if asked is None:
        return f"{name}, configured nobody knows how"
    flags = f"{asked} {sysconfig.get_config_var('PY_CFLAGS')} {sysconfig.get_config_var('PY_CORE_LDFLAGS')}"
    signs = {"PGO": r"--enable-optimizations|-fprofile-use", "LTO": r"--with-lto(?!=no)|-flto"}
    parts = [f"{'with' if re.search(sign, flags) else 'without'} {what}" for what, sign in signs.items()]
    return f"{name}, configured {', '.join(parts)}"


def keep(figures: dict[str, Any]) -> None:
    """The figures with what is needed to compare them later."""
    now = datetime.now(UTC)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    record = {
        "at": now.isoformat(timespec="seconds"),
        "python": interpreter(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **figures,
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write(f"kept in {path.relative_to(HERE.parent)}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
