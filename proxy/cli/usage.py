"""`fallthrough usage`: what was called, what it cost, who answered, and every attempt of the last calls.

Reads the ledger beside a running proxy; changes nothing.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import orjson
from msgspec import to_builtins
from rich.table import Table
from rich.text import Text

from proxy.cli.place import ledger_place, with_place
from proxy.cli.screen import cell, screen
from proxy.cli.words import printable
from proxy.place import Place
from proxy.store import StoreRefused, report

SPANS: Mapping[str, str] = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
NANO = 1_000_000_000
CALLS_MAX = 1_000_000


def moment(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    """A span back from now (`90m`, `24h`, `7d`) or a day or time in UTC (`2026-11-01`)."""
    if value is None:
        return None
    span = re.fullmatch(r"(\d{1,4})([mhdw])", value)
    if span:
        return datetime.now(UTC) - timedelta(**{SPANS[span[2]]: int(span[1])})
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        problem = f"{value!r} is neither a span such as 24h or 7d nor a day such as 2026-11-01"
        raise click.BadParameter(problem) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@click.command(epilog="Example: fallthrough usage --tenant acme --since 7d --json")
@click.option("--tenant", callback=printable, help="Only this tenant.")
@click.option("--since", callback=moment, help="Only since then: 24h, 7d, or 2026-11-01 (UTC).")
@click.option(
    "--calls", type=click.IntRange(0, CALLS_MAX), default=0, help="Also the last N calls with their attempts."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
@with_place
def usage(
    tenant: str | None,
    since: datetime | None,
    calls: int,
    as_json: bool,
    path: Place | None,
    config: Path | None,
) -> None:
    """Tokens, money and fallback rate, per tenant, model and upstream."""
    since_us = 0 if since is None else int(since.timestamp() * 1_000_000)
    place = ledger_place(path, config)
    try:
        sums = report.sums(place, tenant=tenant, since_us=since_us)
        past = report.last_calls(place, calls, tenant=tenant, since_us=since_us) if calls else ()
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        told = {"usage": [to_builtins(each) for each in sums], "calls": [to_builtins(call) for call in past]}
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    console = screen()
    console.print(_sums(sums))
    if calls:
        console.print(_calls(past))


def _sums(sums: tuple[report.Sum, ...]) -> Table:
    table = Table("tenant", "model", "answered by", title="Usage")
    for heading in ("calls", "ok", "failed", "fallback", "input", "cached", "output", "reasoning", "USD"):
        table.add_column(heading, justify="right")
    for each in sums:
        numbers = (each.input_tokens, each.cached_tokens, each.output_tokens, each.reasoning_tokens)
        table.add_row(
            *map(cell, (each.tenant, each.model, each.upstream)),
            *map(str, (each.calls, each.ok, each.failed)),
            _share(each.fallbacks, each.ok),
            *(f"{number:,}" for number in numbers),
            _usd(each.nano_usd),
        )
    return table


def _calls(past: tuple[report.PastCall, ...]) -> Table:
    table = Table(
        "when (UTC)", "call", "model", "result", "attempts", "USD", title="Last calls", show_lines=True
    )
    for call in past:
        when = datetime.fromtimestamp(call.at_us / 1_000_000, UTC).strftime("%m-%d %H:%M:%S")
        attempts = Text("\n").join(cell(line) for attempt in call.attempts for line in _lines(attempt))
        session = "" if call.session_pseudonym is None else f"\nsession {call.session_pseudonym}"
        names = map(cell, (call.call_id + session, call.model, call.result))
        table.add_row(when, *names, attempts or "-", _usd(call.nano_usd))
    return table


def _lines(attempt: dict[str, Any]) -> Iterator[str]:
    """Who was passed over for it, then the attempt."""
    for one in attempt.get("passed", ()):
        yield f"{one['upstream']}/{one['model']}  not tried: {one['why']}"
    yield _attempt(attempt)


def _attempt(attempt: dict[str, Any]) -> str:
    status = attempt["status"] or "-"
    took = attempt["ended_ms"] - attempt["started_ms"]
    return f"{attempt['upstream']}/{attempt['model']}  {attempt['result']}  {status}  {took} ms"


def _share(part: int, whole: int) -> str:
    return "-" if whole == 0 else f"{100 * part / whole:.1f} %"


def _usd(nano: int) -> str:
    return f"{nano // NANO}.{nano % NANO:09d}"[:-3]
