"""Callers' keys in `keys.db`, which lies beside the ledger and which any process may write (`keyfile.py`).

So a key revoked from the command line stops working in a running proxy within a second: a duty calls
`refresh` twice a second. `callers.py` finds keys, `subjects.py` end persons, `mailbox.py` holds letters.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.ports import Clock
from proxy.store.callers import Callers, HandOver, KeyRecord, NewKey, later, new_key, new_text
from proxy.store.sqlite.keyfile import KeyFile, number, open_key_file, unreadable
from proxy.store.sqlite.mailbox import Mailbox
from proxy.store.sqlite.register import FileRegister
from proxy.store.subjects import Subjects

log = logging.getLogger("proxy.keys")


class SqliteKeys(Callers):
    """`proxy.ports.Keys` from memory, and the administration of keys in the file."""

    def __init__(self, file: KeyFile, clock: Clock) -> None:
        super().__init__(clock)
        self._connection = file.connection
        self.seal = file.seal
        """What the ledger's heads are signed with."""
        self.subjects = Subjects(FileRegister(file.path), file.lookup)
        self.mailbox = Mailbox(file.path, file.connection, file.lookup)
        self._seen: int | None = None

    async def pseudonym(self, tenant: str, user: str) -> str:
        return await self.subjects.pseudonym(tenant, user)

    async def in_session(self, tenant: str, user: str | None, session: str) -> tuple[str | None, str]:
        return await self.subjects.in_session(tenant, user, session)

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
        self.take_in((digest, key_id, tenant, expires) for digest, key_id, tenant, expires in rows)
        self._seen = seen

    async def create(
        self, tenant: str, name: str = "", expires_us: int | None = None, hand_over: HandOver = later
    ) -> NewKey:
        key = new_key()
        hand_over(key)
        await self._change(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (key.key_id, key.digest, tenant, name, self._clock.wall_us(), expires_us),
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

    async def rotate(self, key_id: str, hand_over: HandOver = later) -> NewKey | None:
        """A new text for the same key: its id, limits and history stay; the old text ends at once."""
        key = new_text(key_id)
        sql = "SELECT key_id FROM keys WHERE key_id = ? AND revoked_us IS NULL"
        if not await self._connection.execute_fetchall(sql, (key_id,)):
            return None
        hand_over(key)
        changed = await self._change(
            "UPDATE keys SET digest = ? WHERE key_id = ? AND revoked_us IS NULL",
            (key.digest, key_id),
        )
        return key if changed else None

    async def _change(self, sql: str, values: tuple[object, ...]) -> bool:
        cursor = await self._connection.execute(sql, values)
        await self.load()  # `data_version` tells only of others' changes
        return cursor.rowcount == 1


@asynccontextmanager
async def open_sqlite_keys(path: Path, *, clock: Clock) -> AsyncIterator[SqliteKeys]:
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
