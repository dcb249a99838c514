"""Who may call, and for whom: keys by digest, end persons by pseudonym, and what signs heads.

`keys.db` lies beside the ledger and any process may write it (`keyfile.py`), so that a key revoked
from the command line stops working in a running proxy within a second: a duty calls `refresh` twice
a second. A key's text is shown once, when made; only its SHA-256 digest is kept. With 192 random bits
a key cannot be guessed from its digest, so no slow hash is needed, and `find` stays off the disk.
"""

import asyncio
import hashlib
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.ports import Clock, Grant
from proxy.store.sqlite.keyfile import KeyFile, number, open_key_file, unreadable
from proxy.store.sqlite.mailbox import Mailbox
from proxy.store.subjects import Subjects

log = logging.getLogger("proxy.keys")

PREFIX = "ft-"
KEY_BYTES = 24


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

    def __init__(self, file: KeyFile, clock: Clock) -> None:
        self._connection = file.connection
        self._clock = clock
        self.seal = file.seal
        """What the ledger's heads are signed with."""
        self.subjects = Subjects(file.path, file.lookup)
        self.mailbox = Mailbox(file.path, file.connection, file.lookup)
        self._live: dict[bytes, _Live] = {}
        self._seen: int | None = None

    def find(self, digest: bytes) -> Grant | None:
        live = self._live.get(digest)
        if live is None or (live.expires_us is not None and live.expires_us <= self._clock.wall_us()):
            return None
        return live.grant

    async def pseudonym(self, tenant: str, user: str) -> str:
        return await self.subjects.pseudonym(tenant, user)

    def forget(self, pseudonym: str) -> None:
        self.subjects.forget(pseudonym)

    async def refresh(self) -> bool:
        """Take in what other processes changed; whether anything was read. Costs one tiny question.

        A file that cannot be read just now leaves in force what is known, and is asked again.
        """
        try:
            if await number(self._connection, "PRAGMA data_version") == self._seen:
                return False
            await self.load()
        except sqlite3.Error as error:
            log.warning("keys cannot be read: %s", error)
            return False
        return True

    async def load(self) -> None:
        """Read every key that is in force."""
        # The version first: what changes in between is then read once more, not missed.
        seen = await number(self._connection, "PRAGMA data_version")
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
    async with open_key_file(path) as file:
        keys = SqliteKeys(file, clock)
        try:
            await keys.load()
            yield keys
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        finally:
            await asyncio.to_thread(keys.subjects.close)
