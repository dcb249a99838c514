"""`fallthrough keys`: make, list, revoke and rotate callers' keys, beside a running proxy or without one.

A running proxy takes a change in within a second. A new key's text is printed once, alone on
standard output, so that it can be piped; everything else goes to standard error. It is in force only once it
is printed: a text that could not be written is nobody's, and the old one stays. Only `create` makes a store
of keys where there is none, for the first key comes before the first start.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
import orjson
from msgspec import to_builtins
from rich.table import Table

from proxy.cli.clock import ProcessClock
from proxy.cli.place import keys_are_kept, ledger_place, with_place
from proxy.cli.screen import cell, screen
from proxy.cli.words import printable, tenant_name
from proxy.place import Place
from proxy.store import StoreRefused, open_keys
from proxy.store.callers import HandOver, KeyRecord, NewKey
from proxy.store.keys import KeyStore

T = TypeVar("T")
DAYS_MAX = 36_500
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


@click.group()
@with_place
@click.pass_context
def keys(context: click.Context, path: Place | None, config: Path | None) -> None:
    """Make, list, revoke and rotate callers' keys."""
    context.obj = ledger_place(path, config)


@keys.command(epilog="Example: fallthrough keys --config proxy.yaml create --tenant acme --days 90")
@click.option("--tenant", required=True, callback=tenant_name, help="Whom the key's calls are counted for.")
@click.option("--name", default="", callback=printable, help="A word to know it by.")
@click.option("--days", type=click.IntRange(1, DAYS_MAX), help="Days until it expires; without: never.")
@AS_JSON
@click.pass_obj
def create(place: Place, tenant: str, name: str, days: int | None, as_json: bool) -> None:
    """Make a key and print it, this once."""
    now = datetime.now(UTC)
    expires_us = None if days is None else int((now + timedelta(days=days)).timestamp() * 1_000_000)
    first = not keys_are_kept(place)
    key = _handed_over(place, as_json, lambda store, show: store.create(tenant, name, expires_us, show))
    _remind(key)
    if first:
        where = place.absolute() if isinstance(place, Path) else place
        click.echo(f"{where}: no keys were kept here before; this is the first.", err=True)


@keys.command("list", epilog="Example: fallthrough keys list --json")
@AS_JSON
@click.pass_obj
def list_(place: Place, as_json: bool) -> None:
    """Show every key but its text."""
    found = _with(_kept(place), lambda store: store.list())
    if as_json:
        click.echo(orjson.dumps([to_builtins(key) for key in found], option=orjson.OPT_INDENT_2))
        return
    table = Table("id", "tenant", "name", "created", "expires", "revoked")
    for key in found:
        table.add_row(*map(cell, _cells(key)))
    screen().print(table)


@keys.command(epilog="Example: fallthrough keys revoke KEY_ID")
@click.argument("key_id", callback=printable)
@click.pass_obj
def revoke(place: Place, key_id: str) -> None:
    """End a key; a running proxy refuses it within a second."""
    if not _with(_kept(place), lambda store: store.revoke(key_id)):
        raise click.ClickException(f"{key_id}: no such key, or it was revoked before")
    click.echo(f"{key_id} is revoked.", err=True)


@keys.command(epilog="Example: fallthrough keys rotate KEY_ID")
@click.argument("key_id", callback=printable)
@AS_JSON
@click.pass_obj
def rotate(place: Place, key_id: str, as_json: bool) -> None:
    """Give a key a new text; its id, limits and history stay, the old text ends at once."""
    key = _handed_over(_kept(place), as_json, lambda store, show: store.rotate(key_id, show))
    if key is None:
        raise click.ClickException(f"{key_id}: no such key, or it was revoked")
    _remind(key)


def _kept(place: Place) -> Place:
    """The place, for who would not make keys there."""
    if not keys_are_kept(place):
        raise click.ClickException(f"{place}: no keys are kept here; name another ledger")
    return place


def _handed_over(place: Place, as_json: bool, make: Callable[[KeyStore, HandOver], Awaitable[T]]) -> T:
    """What `make` makes, printed before it is in force; None if there was nothing to make it of."""
    shown: list[NewKey] = []

    def show(key: NewKey) -> None:
        if sys.stdout is None:  # closed by whoever started us: click would say nothing, to nobody
            raise click.ClickException("there is no standard output to print the key on")
        click.echo(orjson.dumps(to_builtins(key)) if as_json else key.text)
        shown.append(key)

    in_force = False
    try:
        made = _with(place, lambda store: make(store, show))
        in_force = made is not None
    finally:
        if shown and not in_force:
            click.echo("Do not use the key above: it may not be in force.", err=True)
    return made


def _with(place: Place, work: Callable[[KeyStore], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_keys(place, clock=ProcessClock()) as store:
            return await work(store)

    try:
        return asyncio.run(run())
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error


def _remind(key: NewKey) -> None:
    click.echo(f"{key.key_id}: keep this key, it is not shown again.", err=True)


def _cells(key: KeyRecord) -> tuple[str, ...]:
    return (key.key_id, key.tenant, key.name, *map(_day, (key.created_us, key.expires_us, key.revoked_us)))


def _day(at_us: int | None) -> str:
    return "-" if at_us is None else datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")
