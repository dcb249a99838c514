"""`fallthrough rehearse TABLE SCRIPT`: play a game day, print what happened, say whether it went well.

The report goes to standard output, plain or as JSON; a bar that shows how far it is goes to standard error,
and only to a terminal. Exit status: 0 all that was expected is so, 1 it is not, 2 a file has faults,
4 a port cannot be had (`--live`).
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from proxy.cli.live import watch_live
from proxy.cli.rehearsed import as_json, show
from proxy.cli.screen import screen
from proxy.config import ConfigError, Fault, Loaded, load_without_keys
from proxy.rehearsal.callers import WHOLE
from proxy.rehearsal.play import Rehearsal, Watch, rehearse
from proxy.rehearsal.record import Record
from proxy.rehearsal.script import Draft, Script
from proxy.server.logs import configure_logging

NOT_MET, FAULTS, UNHEARD = 1, 2, 4


@click.command(
    name="rehearse", epilog="Example: fallthrough rehearse proxy.yaml config/rehearsals/vendor-outage.yaml"
)
@click.argument("table", type=click.Path(path_type=Path))
@click.argument("script", type=click.Path(path_type=Path))
@click.option("--json", "plain_data", is_flag=True, help="Print what came of it as JSON.")
@click.option("--quiet", is_flag=True, help="No timeline, only the figures and the verdict.")
@click.option("--live", is_flag=True, help="Serve TABLE in real time, to be watched; Ctrl-C ends it.")
def rehearse_command(table: Path, script: Path, plain_data: bool, quiet: bool, live: bool) -> None:
    """Play a game day: TABLE against simulated upstreams that fail as SCRIPT says.

    Routes, breakers, retries, timeouts, limits and prices are those of TABLE. No key is needed, nothing
    leaves this machine, and minutes of an outage take seconds. The same seed is the same rehearsal.

    \b
    A script:
      load: {calls: 4/s, for: 4m, streams: 80%, tenants: 40}
      acts:
        - {at: 30s, for: 2m, upstream: openai, does: overloaded}
        - {at: 1m, for: 1m, upstream: anthropic, does: {stall: 20}}
      expect: {whole: ">= 99%", outage: "<= 5s", cost: "<= 1.50", added: {p95: "<= 3s"}}

    \b
    Exit status: 0 all that SCRIPT expects is so, 1 it is not, 2 a file has faults.
    More scripts are in config/rehearsals, every key of them in docs/rehearsing.md.
    """  # noqa: D301 - click's own mark for text that is not to be filled
    loaded, read = _read(table, script)

    def told(came: Rehearsal) -> None:
        if plain_data:
            click.echo(orjson.dumps(as_json(came), option=orjson.OPT_INDENT_2))
        else:
            show(screen(), came, timeline=not quiet)
        sys.stdout.flush()

    met = _live(loaded, read, told) if live else _played(loaded, read, told)
    sys.exit(0 if met else NOT_MET)


def _played(loaded: Loaded, script: Script, told: Callable[[Rehearsal], None]) -> bool:
    with _watching(script) as watch:
        came = rehearse(loaded.table, script, watch)
    told(came)
    return came.met


def _live(loaded: Loaded, script: Script, told: Callable[[Rehearsal], None]) -> bool:
    configure_logging()
    try:
        return watch_live(loaded, script, told)
    except OSError as error:
        click.echo(f"cannot listen: {error.strerror or error}", err=True)
        sys.exit(UNHEARD)


def _read(table: Path, script: Path) -> tuple[Loaded, Script]:
    """Both files; or every fault of both, and the end."""
    faults: list[Fault] = []
    loaded = draft = None
    try:
        loaded = load_without_keys(table, os.environ)
    except ConfigError as error:
        faults += error.faults
    try:
        draft = Draft.read(script)
        if loaded is not None:
            return loaded, draft.fitted(loaded.table)
    except ConfigError as error:
        faults += error.faults
    for fault in faults:
        click.echo(str(fault), err=True)
    sys.exit(FAULTS)


@contextmanager
def _watching(script: Script) -> Iterator[Watch]:
    """How far it is, on a terminal; elsewhere nothing."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
        TextColumn("{task.fields[calls]} calls, {task.fields[failed]} not whole"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("rehearsing", total=script.load.lasts, calls=0, failed=0)
        seen = failed = 0

        def watch(now: float, record: Record) -> None:
            nonlocal seen, failed
            failed += sum(visit.result != WHOLE for visit in record.visits[seen:])
            seen = len(record.visits)
            progress.update(bar, completed=min(now, script.load.lasts), calls=seen, failed=failed)

        yield watch
