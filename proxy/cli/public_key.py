"""`fallthrough ledger public-key`, and `--public-key` of the commands that check with it.

The command prints what may be handed to anybody. The option takes it back from whoever checks, who
needs no `keys.db` and could sign nothing with what they have.
"""

import re
from pathlib import Path

import click

from proxy.cli.place import ledger_place, with_place
from proxy.place import Place
from proxy.store import StoreRefused
from proxy.store.keys import read_public_key
from proxy.store.pem import key_in, pem_of
from proxy.store.seal import PublicKey

DIGITS = re.compile(r"[0-9a-fA-F]+")


def given(_context: click.Context, _option: click.Parameter, value: str | None) -> PublicKey | None:
    """A public key from the command line: its digits, or a file that holds them or a PEM."""
    if value is None:
        return None
    try:
        digits = DIGITS.fullmatch(value)
        return key_in(value if digits else Path(value).read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        problem = f"{value}: {error.strerror}; give 64 hexadecimal digits, or a file that holds them or a PEM"
        raise click.BadParameter(problem) from error
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("public-key", epilog="Example: fallthrough ledger public-key > key.pem")
@click.option("--pem", "as_pem", is_flag=True, help="A PEM instead of hexadecimal digits.")
@with_place
def public_key(as_pem: bool, path: Place | None, config: Path | None) -> None:
    """Print the key that checks the heads' signatures: publish it, or hand it to who is to check."""
    place = ledger_place(path, config)
    try:
        key = read_public_key(place)
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
    if key is None:
        raise click.ClickException(f"{place}: there is no key here; the proxy's first start makes one")
    click.echo(pem_of(key) if as_pem else key.hex, nl=not as_pem)
    click.echo(f"Heads name it {key.key_id}.", err=True)
