"""The file `keys.db`: created whole, opened only when it is ours, written by any process of the house.

`keys.py` (who may call), `subjects.py` (end persons) and `read_public_key` (who checks heads) open it here;
the key that signs leaves it only as a `Seal`, and only for who opened the file to write. No WAL: the
system's SQLite may be one that can corrupt it between two processes. What is deleted is overwritten,
and a commit is durable with the folder's entry of its journal: a key that was destroyed stays so.
"""

import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiosqlite
from msgspec import Struct

from proxy.store.fault import StoreRefused
from proxy.store.seal import PublicKey, Seal, seal_of
from proxy.store.sqlite.database import migrations, open_or_make
from proxy.store.sqlite.remedies import RESTORE_KEYS, remedy_for

APPLICATION_ID = 0x46544B59
"""`FTKY`."""

SECRET_BYTES = 32
SECRETS = ("subjects", "heads")
"""Made with the file, or when first missed."""
BUSY_S = 5.0
"""How long another process's change is waited for."""

PRAGMAS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA synchronous = EXTRA",
    "PRAGMA secure_delete = ON",
)


class KeyFile(Struct, frozen=True):
    """The open file and the secrets in it, which no `repr` shows."""

    path: Path
    connection: aiosqlite.Connection
    lookup: bytes
    """Finds end persons: with it, and an id at hand, one can ask whether that id is known."""
    seal: Seal
    """What the ledger's heads are signed with."""

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r})"


@asynccontextmanager
async def open_key_file(path: Path) -> AsyncIterator[KeyFile]:
    """The file at `path`, created if missing, readable by its owner only. Raises `StoreRefused`."""
    os.close(open_or_make(path))
    async with aiosqlite.connect(path, isolation_level=None, timeout=BUSY_S) as connection:
        try:
            private = await _prepare(connection, path)
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        yield KeyFile(path, connection, private["subjects"], seal_of(path, private["heads"]))


def connect(path: Path) -> sqlite3.Connection:
    """A plain connection to the file, which `open_key_file` has prepared, for one thread."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_S
    )
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def read_public_key(path: Path) -> PublicKey | None:
    """What checks the heads of the ledger beside this file; None: no key is here."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT value FROM secrets WHERE name = 'heads'").fetchone()
    except sqlite3.Error as error:
        raise StoreRefused(
            path, f"SQLite cannot read it ({error})", remedy_for(error, RESTORE_KEYS)
        ) from error
    return None if found is None else seal_of(path, found[0]).public_key


def unreadable(path: Path, error: sqlite3.Error) -> StoreRefused:
    return StoreRefused(path, f"SQLite cannot open it ({error})", remedy_for(error, RESTORE_KEYS))


async def number(connection: aiosqlite.Connection, sql: str) -> int:
    """The one number that `sql` asks for."""
    rows = await connection.execute_fetchall(sql)
    return int(next(iter(rows))[0])


async def _prepare(connection: aiosqlite.Connection, path: Path) -> dict[str, bytes]:
    """Check or create, in one transaction, because another process may be doing the same."""
    for pragma in PRAGMAS:
        await connection.execute(pragma)
    await connection.execute("BEGIN IMMEDIATE")
    try:
        await _check_ours(connection, path)
        version = await number(connection, "PRAGMA user_version")
        for newer, script in migrations("keys"):
            if newer > version:
                for statement in _statements(script):
                    await connection.execute(statement)
                await connection.execute(f"PRAGMA user_version = {newer}")
        for name in SECRETS:
            fresh = (name, secrets.token_bytes(SECRET_BYTES))
            await connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", fresh)
        rows = await connection.execute_fetchall("SELECT name, value FROM secrets")
        await connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a disk that fails may have ended it already
            await connection.execute("ROLLBACK")
        raise
    return {name: bytes(value) for name, value in rows}


async def _check_ours(connection: aiosqlite.Connection, path: Path) -> None:
    identity = await number(connection, "PRAGMA application_id")
    if identity == 0 and await number(connection, "SELECT count(*) FROM sqlite_schema") == 0:
        await connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        return
    if identity != APPLICATION_ID:
        raise StoreRefused(path, "this is not a Fallthrough key file", "name another folder")
    version, newest = await number(connection, "PRAGMA user_version"), migrations("keys")[-1][0]
    if version > newest:
        problem = f"written by a newer Fallthrough (schema {version}, this one knows {newest})"
        raise StoreRefused(path, problem, "run that version or newer")


def _statements(script: str) -> list[str]:
    # `executescript` would commit the transaction that we are in.
    bare = "\n".join(line.split("--")[0] for line in script.splitlines())
    return [statement for statement in bare.split(";") if statement.strip()]
