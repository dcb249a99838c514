"""Who may call: keys by digest, the secret behind end persons' pseudonyms, and the one that signs heads.

`keys.db` lies beside the ledger and any process may write it, so that a key revoked from the
command line stops working in a running proxy within a second: a duty calls `refresh` twice a
second. A key's text is shown once, when made; only its SHA-256 digest is kept. With 192 random bits
a key cannot be guessed from its digest, so no slow hash is needed, and `find` stays off the disk.
"""

import hashlib
import hmac
import logging
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from proxy.ports import Clock, Grant
from proxy.store.database import RESTORE, migrations, open_or_make
from proxy.store.fault import StoreRefused
from proxy.store.heads import Seal

log = logging.getLogger("proxy.keys")

APPLICATION_ID = 0x46544B59
"""`FTKY`."""

PREFIX = "ft-"
KEY_BYTES = 24
SECRET_BYTES = 32
SECRETS = ("pseudonym", "heads")
"""Made with the file, or when first missed."""
PSEUDONYM_DIGITS = 40
"""160 bits: no two persons meet by chance."""
BUSY_S = 5.0


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as the command line lists it: everything but the key."""

    key_id: str
    tenant: str
    name: str
    created_us: int
    expires_us: int | None
    revoked_us: int | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `text` is the only copy there will ever be."""

    key_id: str
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.key_id!r}, …)"


@dataclass(frozen=True, slots=True)
class _Live:
    """What `find` needs of a key that is not revoked."""

    grant: Grant
    expires_us: int | None


def digest_of(text: str) -> bytes:
    """What is stored, and what a presented key is found by."""
    return hashlib.sha256(text.encode()).digest()


class SqliteKeys:
    """`proxy.ports.Keys` from memory, and the administration of keys in the file."""

    def __init__(self, connection: aiosqlite.Connection, clock: Clock, private: Mapping[str, bytes]) -> None:
        self._connection = connection
        self._clock = clock
        self._secret = private["pseudonym"]
        self.seal = Seal(private["heads"])
        """What the ledger's heads are signed with."""
        self._live: dict[bytes, _Live] = {}
        self._seen: int | None = None

    def find(self, digest: bytes) -> Grant | None:
        live = self._live.get(digest)
        if live is None or (live.expires_us is not None and live.expires_us <= self._clock.wall_us()):
            return None
        return live.grant

    def pseudonym(self, tenant: str, user: str) -> str:
        # The tenant's length keeps ("ab", "c") and ("a", "bc") apart.
        message = f"{len(tenant)}:{tenant}{user}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]

    async def refresh(self) -> bool:
        """Take in what other processes changed; whether anything was read. Costs one tiny question.

        A file that cannot be read just now leaves in force what is known, and is asked again.
        """
        try:
            if await _number(self._connection, "PRAGMA data_version") == self._seen:
                return False
            await self.load()
        except sqlite3.Error as error:
            log.warning("keys cannot be read: %s", error)
            return False
        return True

    async def load(self) -> None:
        """Read every key that is in force."""
        # The version first: what changes in between is then read once more, not missed.
        seen = await _number(self._connection, "PRAGMA data_version")
        rows = await self._connection.execute_fetchall(
            "SELECT digest, key_id, tenant, expires_us FROM keys WHERE revoked_us IS NULL"
        )
        self._live = {
            digest: _Live(Grant(key_id, tenant), expires) for digest, key_id, tenant, expires in rows
        }
        self._seen = seen

    async def create(self, tenant: str, name: str = "", expires_us: int | None = None) -> NewKey:
        key = NewKey("key_" + secrets.token_hex(8), _fresh_text())
        await self._change(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (key.key_id, digest_of(key.text), tenant, name, self._clock.wall_us(), expires_us),
        )
        return key

    async def list(self) -> tuple[KeyRecord, ...]:
        """All keys ever made, the oldest first."""
        rows = await self._connection.execute_fetchall(
            "SELECT key_id, tenant, name, created_us, expires_us, revoked_us FROM keys"
            " ORDER BY created_us, key_id"
        )
        return tuple(KeyRecord(*row) for row in rows)

    async def revoke(self, key_id: str) -> bool:
        """End a key at once; False if there is no such key or it was revoked before."""
        return await self._change(
            "UPDATE keys SET revoked_us = ? WHERE key_id = ? AND revoked_us IS NULL",
            (self._clock.wall_us(), key_id),
        )

    async def rotate(self, key_id: str) -> NewKey | None:
        """A new text for the same key: its id, limits and history stay; the old text ends at once."""
        key = NewKey(key_id, _fresh_text())
        changed = await self._change(
            "UPDATE keys SET digest = ? WHERE key_id = ? AND revoked_us IS NULL",
            (digest_of(key.text), key_id),
        )
        return key if changed else None

    async def _change(self, sql: str, values: tuple[object, ...]) -> bool:
        cursor = await self._connection.execute(sql, values)
        await self.load()  # `data_version` tells only of others' changes
        return cursor.rowcount == 1


def _fresh_text() -> str:
    return PREFIX + secrets.token_hex(KEY_BYTES)


@asynccontextmanager
async def open_keys(path: Path, *, clock: Clock) -> AsyncIterator[SqliteKeys]:
    """The keys at `path`, created if missing, readable by its owner only. Raises `StoreRefused`."""
    os.close(open_or_make(path))
    async with aiosqlite.connect(path, isolation_level=None, timeout=BUSY_S) as connection:
        try:
            private = await _prepare(connection, path)
            keys = SqliteKeys(connection, clock, private)
            await keys.load()
        except sqlite3.Error as error:
            raise StoreRefused(path, f"SQLite cannot open it ({error})", RESTORE) from error
        yield keys


def read_seal(path: Path) -> Seal | None:
    """What signs the heads of the ledger beside this file, for who only checks; None: no key is here."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT value FROM secrets WHERE name = 'heads'").fetchone()
    except sqlite3.Error as error:
        raise StoreRefused(path, f"SQLite cannot read it ({error})", RESTORE) from error
    return None if found is None else Seal(found[0])


async def _prepare(connection: aiosqlite.Connection, path: Path) -> dict[str, bytes]:
    """Check or create, in one transaction, because another process may be doing the same."""
    await connection.execute("PRAGMA trusted_schema = OFF")
    # No WAL here: the system's SQLite may be one that can corrupt it between two processes.
    await connection.execute("PRAGMA synchronous = FULL")
    await connection.execute("BEGIN IMMEDIATE")
    try:
        await _check_ours(connection, path)
        version = await _number(connection, "PRAGMA user_version")
        for number, script in migrations("keys"):
            if number > version:
                for statement in _statements(script):
                    await connection.execute(statement)
                await connection.execute(f"PRAGMA user_version = {number}")
        for name in SECRETS:
            fresh = (name, secrets.token_bytes(SECRET_BYTES))
            await connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", fresh)
        rows = await connection.execute_fetchall("SELECT name, value FROM secrets")
        await connection.execute("COMMIT")
    except BaseException:
        await connection.execute("ROLLBACK")
        raise
    return {name: bytes(value) for name, value in rows}


async def _check_ours(connection: aiosqlite.Connection, path: Path) -> None:
    identity = await _number(connection, "PRAGMA application_id")
    if identity == 0 and await _number(connection, "SELECT count(*) FROM sqlite_schema") == 0:
        await connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        return
    if identity != APPLICATION_ID:
        raise StoreRefused(path, "this is not a Fallthrough key file", "name another folder")
    version, newest = await _number(connection, "PRAGMA user_version"), migrations("keys")[-1][0]
    if version > newest:
        problem = f"written by a newer Fallthrough (schema {version}, this one knows {newest})"
        raise StoreRefused(path, problem, "run that version or newer")


async def _number(connection: aiosqlite.Connection, sql: str) -> int:
    rows = await connection.execute_fetchall(sql)
    return int(next(iter(rows))[0])


def _statements(script: str) -> list[str]:
    # `executescript` would commit the transaction that we are in.
    return [statement for statement in script.split(";") if statement.strip()]
