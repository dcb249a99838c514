"""`fallthrough ledger export`: a person's or a tenant's rows, to a folder or to standard output.

Reads beside a running proxy and changes nothing. In a folder: `rows.jsonl` and `manifest.json`, both or
neither; on standard output the rows, and as its last line the manifest.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import orjson

from proxy.cli.place import existing_ledger, with_place
from proxy.cli.words import person, tenant_name
from proxy.place import Place
from proxy.store import StoreRefused
from proxy.store.export import Export, Wanted
from proxy.store.keys import find_pseudonym, read_public_key

ROWS, MANIFEST = "rows.jsonl", "manifest.json"


@click.command(epilog="Example: fallthrough ledger export --tenant acme --user anna > anna.json")
@click.option("--tenant", required=True, callback=tenant_name, help="Whose rows.")
@click.option(
    "--user", callback=person, help="Only this person's, by the id that calls carry; -: from stdin."
)
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="A new folder; without: standard output."
)
@with_place
def export(
    tenant: str, user: str | None, folder: Path | None, path: Place | None, config: Path | None
) -> None:
    """Tell all that is stored of a person or a tenant, with the proof of every row."""
    place = existing_ledger(path, config)
    try:
        told = Export(place, _wanted(place, tenant, user), read_public_key(place))
        if folder is None:
            _print(told)
        else:
            _write(told, folder)
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{folder or 'standard output'}: {error.strerror}") from error


def _wanted(place: Place, tenant: str, user: str | None) -> Wanted:
    if user is None:
        return Wanted(tenant)
    pseudonym = find_pseudonym(place, tenant, user)
    if pseudonym is None:
        raise click.ClickException(f"nobody of this id is known in tenant {tenant}")
    return Wanted(tenant, pseudonym)


def _print(told: Export) -> None:
    out = sys.stdout.buffer
    out.writelines(told.rows())
    out.write(orjson.dumps({"manifest": told.manifest()}, option=orjson.OPT_APPEND_NEWLINE))
    out.flush()


def _write(told: Export, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    with _whole_or_gone(folder):
        _fill(folder / ROWS, told.rows())
        manifest = told.manifest()
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        _fill(folder / MANIFEST, (orjson.dumps(manifest, option=options),))
    click.echo(f"{manifest['rows']:,} rows, {manifest['proved_rows']:,} with a proof of their own", err=True)


@contextmanager
def _whole_or_gone(folder: Path) -> Iterator[None]:
    """Rows without a manifest prove nothing, and stand in the way of the next try."""
    try:
        yield
    except BaseException:
        for name in (ROWS, MANIFEST):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else has put something there
            folder.rmdir()
        raise


def _fill(path: Path, pieces: Iterable[bytes]) -> None:
    """A new file, its owner's alone."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.writelines(pieces)
