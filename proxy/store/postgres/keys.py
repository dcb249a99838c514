"""Callers' keys in PostgreSQL, for all replicas of one ledger.

A duty calls `refresh` twice a second; a trigger counts the changes, so that it costs one small question.
A server that is away leaves in force what is known: the ledger is away then, too, and admits nobody.
`callers.py` finds keys, `subjects.py` end persons, `mailbox.py` holds letters, `lease.py` says how long
this process may remember whom.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing

import asyncpg

from proxy.place import Database
from proxy.ports import Clock
from proxy.store.callers import Callers, HandOver, KeyRecord, NewKey, later, new_key, new_text
from proxy.store.fault import StoreRefused
from proxy.store.postgres.database import FAILURES, KEYS, prepare, unreachable
from proxy.store.postgres.lease import Lease
from proxy.store.postgres.line import Line
from proxy.store.postgres.mailbox import SharedMailbox
from proxy.store.postgres.register import SharedRegister
from proxy.store.postgres.session import Session
from proxy.store.seal import PublicKey, seal_of
from proxy.store.subjects import Subjects, digest_of, pseudonym_of

SECRET_BYTES = 32
SECRETS = ("subjects", "heads")
"""Made with the tables, or when first missed."""

LOOK_S = 5.0
"""A server that takes longer for the smallest question is taken for lost."""

IN_FORCE = "SELECT digest, key_id, tenant, expires_us FROM keys WHERE revoked_us IS NULL"

VERSION = "SELECT version FROM changes"


class PostgresKeys(Callers):
    """`proxy.ports.Keys` from memory, and the administration of keys in the database."""

    def __init__(self, line: Line, private: Mapping[str, bytes], clock: Clock) -> None:
        super().__init__(clock)
        self._line = line
        self._seen: int | None = None
        self.seal = seal_of(line.database, private["heads"])
        """What the ledger's heads are signed with."""
        self.lease = Lease(line, clock)
        self.subjects = Subjects(SharedRegister(line.database, self.lease), private["subjects"])
        self.mailbox = SharedMailbox(line, self.lease, private["subjects"])

    async def pseudonym(self, tenant: str, user: str) -> str:
        return await self.subjects.pseudonym(tenant, user)

    async def in_session(self, tenant: str, user: str | None, session: str) -> tuple[str | None, str]:
        return await self.subjects.in_session(tenant, user, session)

    def forget(self, pseudonym: str) -> None:
        self.subjects.forget(pseudonym)

    async def refresh(self) -> bool:
        """Take in what others changed; whether anything was read. A server that is away is asked again."""
        try:
            async with self._line.held() as connection:
                if await connection.fetchval(VERSION, timeout=LOOK_S) == self._seen:
                    return False
                await self._load(connection)
        except StoreRefused:
            # What answers next may be another server, with other keys under the same number.
            self._seen = None
            return False
        return True

    async def load(self) -> None:
        """Read every key that is in force."""
        async with self._line.held() as connection:
            await self._load(connection)

    async def create(
        self, tenant: str, name: str = "", expires_us: int | None = None, hand_over: HandOver = later
    ) -> NewKey:
        key = new_key()
        hand_over(key)
        await self._change(
            "INSERT INTO keys VALUES ($1, $2, $3, $4, $5, $6, NULL)",
            *(key.key_id, key.digest, tenant, name, self._clock.wall_us(), expires_us),
        )
        return key

    async def list(self) -> tuple[KeyRecord, ...]:
        """All keys ever made, the oldest first."""
        async with self._line.held() as connection:
            rows = await connection.fetch(
                "SELECT key_id, tenant, name, created_us, expires_us, revoked_us FROM keys"
                " ORDER BY created_us, key_id"
            )
        return tuple(KeyRecord(*row) for row in rows)

    async def revoke(self, key_id: str) -> bool:
        """End a key at once; False if there is no such key or it was revoked before."""
        return await self._change(
            "UPDATE keys SET revoked_us = $1 WHERE key_id = $2 AND revoked_us IS NULL",
            *(self._clock.wall_us(), key_id),
        )

    async def rotate(self, key_id: str, hand_over: HandOver = later) -> NewKey | None:
        """A new text for the same key: its id, limits and history stay; the old text ends at once."""
        key = new_text(key_id)
        async with self._line.held() as connection:
            if not await connection.fetch(f"{IN_FORCE} AND key_id = $1", key_id):
                return None
        hand_over(key)
        changed = await self._change(
            "UPDATE keys SET digest = $1 WHERE key_id = $2 AND revoked_us IS NULL", key.digest, key_id
        )
        return key if changed else None

    async def _change(self, sql: str, *values: object) -> bool:
        async with self._line.held() as connection:
            told: str = await connection.execute(sql, *values)
            await self._load(connection)
        return told.endswith(" 1")

    async def _load(self, connection: asyncpg.Connection) -> None:
        # The version first: what changes in between is then read once more, not missed.
        seen = await connection.fetchval(VERSION)
        rows = await connection.fetch(IN_FORCE)
        self.take_in((digest, key_id, tenant, expires) for digest, key_id, tenant, expires in rows)
        self._seen = seen


@asynccontextmanager
async def open_postgres_keys(database: Database, *, clock: Clock) -> AsyncIterator[PostgresKeys]:
    """The keys of a database, whose tables are made if missing. Raises `StoreRefused`."""
    await prepare(database)
    line = Line(database, KEYS)
    try:
        keys = PostgresKeys(line, await _secrets(line), clock)
        try:
            await keys.load()
            yield keys
        finally:
            await asyncio.to_thread(keys.subjects.close)
            await keys.lease.leave()
    finally:
        await line.close()


def read_public_key(database: Database) -> PublicKey | None:
    """What checks the heads of this database's ledger, for who only checks; None: no key is here."""
    try:
        with closing(Session(database, KEYS)) as session:
            found = session.fetch("SELECT value FROM secrets WHERE name = 'heads'")
    except asyncpg.UndefinedTableError:
        return None
    except FAILURES as error:
        raise unreachable(database, error) from error
    return seal_of(database, found[0][0]).public_key if found else None


def find_pseudonym(database: Database, tenant: str, user: str) -> str | None:
    """The pseudonym of a person, for who only reads; None: nobody of this id is known."""
    try:
        with closing(Session(database, KEYS)) as session:
            secret = session.fetch("SELECT value FROM secrets WHERE name = 'subjects'")
            digest = digest_of(secret[0][0] if secret else b"", tenant, user)
            found = session.fetch("SELECT key FROM subjects WHERE digest = $1", digest)
    except FAILURES as error:
        raise unreachable(database, error) from error
    return pseudonym_of(found[0][0]) if found else None


def exists(database: Database) -> bool:
    """Whether anything was ever made here."""
    try:
        with closing(Session(database, KEYS)) as session:
            return bool(session.fetch("SELECT to_regclass('fallthrough_keys.secrets') IS NOT NULL")[0][0])
    except (*FAILURES, ValueError) as error:
        raise unreachable(database, error) from error


async def _secrets(line: Line) -> dict[str, bytes]:
    async with line.held() as connection:
        for name in SECRETS:
            sql = "INSERT INTO secrets VALUES ($1, $2) ON CONFLICT DO NOTHING"
            await connection.execute(sql, name, secrets.token_bytes(SECRET_BYTES))
        rows = await connection.fetch("SELECT name, value FROM secrets")
    return {row["name"]: row["value"] for row in rows}
