"""`fallthrough limits`: what stands on every counter, and how an operator sets one back.

`list` reads the ledger beside a running proxy. `reset` is an act: the proxy that runs carries it out
within a second, and an audit row says who did it, when, and what the counter stood at.
"""

from datetime import UTC, datetime
from pathlib import Path

import click
import orjson
from msgspec import to_builtins
from rich.table import Table

from proxy.cli.asking import ask
from proxy.cli.clock import ProcessClock
from proxy.cli.place import existing_ledger, with_place
from proxy.cli.screen import cell, screen
from proxy.cli.words import printable
from proxy.place import Place
from proxy.ports import Act, Letter
from proxy.store import StoreRefused, report
from proxy.store.keys import KeyStore
from proxy.table import Unit

NANO = 1_000_000_000


@click.group()
def limits() -> None:
    """Show the counters of limits, or set one back."""


@limits.command("list", epilog="Example: fallthrough limits list --json")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@with_place
def list_(as_json: bool, path: Place | None, config: Path | None) -> None:
    """Show every counter whose window is not over."""
    place = existing_ledger(path, config)
    try:
        found = report.counters(place, now_us=ProcessClock().wall_us())
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(orjson.dumps([to_builtins(each) for each in found], option=orjson.OPT_INDENT_2))
        return
    table = Table("counter", "until (UTC)")
    for heading in ("used", "held", "ceiling", "share"):
        table.add_column(heading, justify="right")
    for each in found:
        amounts = (_amount(each.unit, amount) for amount in (each.used, each.held, each.ceiling))
        share = f"{100 * each.used / each.ceiling:.0f} %" if each.ceiling else "-"
        table.add_row(cell(each.scope), _moment(each.window_end), *amounts, share)
    screen().print(table)


@limits.command(epilog="Example: fallthrough limits reset tenant=acme/tokens/day")
@click.argument("counter", callback=printable)
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
@with_place
def reset(counter: str, as_json: bool, path: Place | None, config: Path | None) -> None:
    """Set COUNTER, as `list` names it, back to nothing; what calls under way hold stays held."""

    async def post(keys: KeyStore, act: Act) -> bool:
        await keys.mailbox.post(Letter(act, "reset", {"scope": counter}))
        return True

    answer = ask(existing_ledger(path, config), "reset", post) or {}
    if as_json:
        told = [
            {"scope": scope, "window_start": start, "was": used} for scope, start, used in answer["counters"]
        ]
        click.echo(orjson.dumps(told))
        return
    for scope, window, used in answer.get("counters", ()):
        click.echo(f"{scope} from {_moment(window)}: was {used}, is 0", err=True)


def _amount(unit: str, amount: int) -> str:
    return f"$ {amount / NANO:,.6f}" if unit == Unit.NANO_USD else f"{amount:,}"


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M")
