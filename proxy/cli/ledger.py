"""`fallthrough ledger`: whether the ledger is what it was, and what the law lets people ask of it.

`verify` and `check` read beside a running proxy and change nothing; exit status 0: whole; 1: not, or
there is none to read. `erase` and `prune` are carried out by the proxy that runs, or here if none does.
"""

import re
import sys
from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path

import click
import orjson
from msgspec import to_builtins

from proxy.cli.asking import ask
from proxy.cli.export import export
from proxy.cli.place import existing_ledger, ledger_place, with_place
from proxy.cli.public_key import given, public_key
from proxy.cli.usage import moment
from proxy.cli.words import person, tenant_name
from proxy.place import Place
from proxy.ports import Act, Letter
from proxy.store import StoreRefused, replay
from proxy.store.chain import Link
from proxy.store.keys import KeyStore, read_public_key
from proxy.store.seal import PublicKey
from proxy.store.verify import Verdict
from proxy.store.verify import verify as verify_ledger


def link(_context: click.Context, _option: click.Parameter, value: str | None) -> Link | None:
    """A head as `verify` prints it: `SIZE:HASH`."""
    if value is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not SIZE:HASH, such as 4096:9f86…, 64 hexadecimal digits")
    return Link(int(found[1]), bytes.fromhex(found[2]))


AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


@click.group()
def ledger() -> None:
    """Prove that the ledger is whole; tell, erase or prune what it holds of people."""


@ledger.command(epilog="Example: fallthrough ledger verify --public-key key.pem --json")
@click.option("--head", callback=link, metavar="SIZE:HASH", help="A head that was kept elsewhere.")
@click.option(
    "--public-key",
    "key",
    callback=given,
    metavar="FILE|HEX",
    help="What checks the heads' signatures; without: the key in the keys.db beside the ledger.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of sentences.")
@with_place
def verify(
    head: Link | None, key: PublicKey | None, as_json: bool, path: Place | None, config: Path | None
) -> None:
    """Read every row against its hash, the segments' roots, all heads, and the balances."""
    place = ledger_place(path, config)
    try:
        key = key or read_public_key(place)
        verdict = verify_ledger(place, public_key=key, anchored=head)
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
    facts = to_builtins(verdict) | {"key_id": key and key.key_id}
    _tell(verdict.faults, as_json, facts, _found(verdict, key))
    sys.exit(1 if verdict.faults else 0)


@ledger.command(epilog="Example: fallthrough ledger check --config proxy.yaml")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of sentences.")
@with_place
def check(as_json: bool, path: Place | None, config: Path | None) -> None:
    """Replay every row and compare the sums with the balances; hashes are not looked at."""
    try:
        faults = replay.check(ledger_place(path, config))
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
    _tell(faults, as_json, {"faults": faults}, ())
    sys.exit(1 if faults else 0)


@ledger.command(epilog="Example: fallthrough ledger erase --tenant acme --user anna")
@click.option(
    "--user", required=True, callback=person, help="The id that calls carry; - reads it from stdin."
)
@click.option("--tenant", required=True, callback=tenant_name, help="Whose calls carry it.")
@AS_JSON
@with_place
def erase(user: str, tenant: str, as_json: bool, path: Place | None, config: Path | None) -> None:
    """Destroy a person's key for ever: the rows stay and are nobody's, the next call is a new person's."""

    def post(keys: KeyStore, act: Act) -> Awaitable[bool]:
        return keys.mailbox.post_erasure(act, tenant, user)

    if ask(existing_ledger(path, config), "erase", post) is None:
        raise click.ClickException(f"nobody of this id is known in tenant {tenant}")
    if as_json:
        click.echo(orjson.dumps({"erased": True, "tenant": tenant}))
        return
    click.echo(
        "Erased: the key is destroyed, and what the ledger holds of this person is nobody's.", err=True
    )


@ledger.command(epilog="Example: fallthrough ledger prune --before 90d")
@click.option(
    "--before", required=True, callback=moment, help="A span such as 90d, or a day: 2026-08-01 (UTC)."
)
@AS_JSON
@with_place
def prune(before: datetime, as_json: bool, path: Place | None, config: Path | None) -> None:
    """Take away old rows, 1024 at a time; sums stay, and the rest can still be proved."""
    before_us = int(before.timestamp() * 1_000_000)

    async def post(keys: KeyStore, act: Act) -> bool:
        if before_us > act.at_us:
            raise click.BadParameter("that is in the future", param_hint="--before")
        await keys.mailbox.post(Letter(act, "prune", {"before_us": before_us}))
        return True

    answer = ask(existing_ledger(path, config), "prune", post) or {}
    if as_json:
        click.echo(orjson.dumps({"rows": answer.get("rows", 0)}))
        return
    click.echo(f"{answer.get('rows', 0):,} rows were taken away.", err=True)


ledger.add_command(export)
ledger.add_command(public_key)


def _found(verdict: Verdict, key: PublicKey | None) -> tuple[str, ...]:
    heads = f"{verdict.heads:,} heads" if verdict.heads else "no heads: a file that was cut short looks whole"
    checked = f"signatures checked by key {key.key_id}" if key else "no key is here: signatures not checked"
    signatures = f" ({checked})" if verdict.heads else ""
    pruned = f" ({verdict.pruned:,} of them pruned)" if verdict.pruned else ""
    counts = f"{verdict.rows:,} rows{pruned}, {verdict.segments:,} segments, {heads}{signatures}"
    more = (f"{verdict.more:,} more faults",) if verdict.more else ()
    return (*more, counts, f"head {verdict.rows}:{verdict.hash}")


def _tell(faults: tuple[str, ...], as_json: bool, facts: dict[str, object], words: tuple[str, ...]) -> None:
    if as_json:
        click.echo(orjson.dumps({"whole": not faults, **facts}, option=orjson.OPT_INDENT_2))
        return
    for line in (*faults, *words, "The ledger is NOT whole." if faults else "The ledger is whole."):
        click.echo(line)
