"""`fallthrough check FILE`: every fault, or the table as it will be in force, or whom a change would move.

The same parser as the start and the reload, so that what passes here starts there. Faults go to standard
error, one a line, ready for editors; the table goes to standard output, as a tree or as JSON.

Exit status 0: no fault, and with `--against` no recorded call would go elsewhere; 1: the ledger cannot be
read; 2: faults in FILE or on the command line; 3: recorded calls would go elsewhere.
"""

import os
import sys
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.markup import escape

from proxy.cli import against as past
from proxy.cli.faults import FAULTS, tell_faults
from proxy.cli.in_force import data_of, tree_of
from proxy.cli.place import PlaceType
from proxy.cli.screen import screen
from proxy.config import ConfigError, Loaded, load
from proxy.place import Place
from proxy.store import StoreRefused, report

CHANGES = 3
CALLS = 1000
CALLS_MAX = 1_000_000
OWN = Path("ledger")
"""The word for the ledger that FILE itself names."""

EXAMPLES = """
\b
Examples:
  fallthrough check proxy.yaml
  fallthrough check proxy.yaml --json | jq '.routes[].model'
  fallthrough check changed.yaml --against ledger --calls 5000
  fallthrough check changed.yaml --against postgresql://auditor@db/fallthrough
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--against",
    type=PlaceType(),
    metavar="LEDGER",
    help="Say whose route a call of this ledger (a file, a URL, or `ledger`: FILE's own) would change.",
)
@click.option(
    "--calls",
    type=click.IntRange(1, CALLS_MAX),
    default=CALLS,
    show_default=True,
    help="How many of its last calls are looked at.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a tree.")
def check(file: Path | None, against: Place | None, calls: int, as_json: bool) -> None:
    """Say every fault of FILE, or the table as it will be in force (without FILE: of the environment)."""
    try:
        loaded = load(file, os.environ)
    except ConfigError as error:
        if as_json:
            _print({"faults": [str(fault) for fault in error.faults]})
        tell_faults(error)
        sys.exit(FAULTS)
    if against is not None:
        sys.exit(_against(loaded, loaded.settings.ledger if against == OWN else against, calls, as_json))
    if as_json:
        _print({"faults": [], **data_of(loaded)})
        return
    console = _noticed(loaded)
    console.print(tree_of(str(file or "environment"), loaded))


def _against(loaded: Loaded, place: Place, calls: int, as_json: bool) -> int:
    """Replay recorded calls over the table; the exit status."""
    try:
        found = past.replayed(loaded.table, report.last_calls(place, calls))
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        _print({"notices": loaded.notices, **past.data_of(found)})
    else:
        past.draw(found, _noticed(loaded))
    return CHANGES if found.changes else 0


def _noticed(loaded: Loaded) -> Console:
    """A console, on which stands already what the operator should read though nothing is wrong."""
    console = screen(highlight=False)
    for notice in loaded.notices:
        console.print(f"[yellow]{escape(notice)}[/yellow]", soft_wrap=True)
    return console


def _print(told: object) -> None:
    click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
