"""Letters over PostgreSQL: what the command line asks of whichever replica comes first.

All replicas look for letters. An erasure is for one of them only when all have let go of its person
(`lease.py`); the act itself is carried out by whoever holds the letter's advisory lock, which its session
loses with its life. A letter about a person holds the pseudonym until it is answered; `scrub` takes the
last trace of it and of the key out of the tables before that.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg
import orjson

from proxy.ports import Act, Letter
from proxy.store.fault import StoreRefused
from proxy.store.memories import Memories
from proxy.store.postgres.lease import FORGET_DEAD, GONE, Lease
from proxy.store.postgres.line import Line
from proxy.store.subjects import digest_of, pseudonym_of

log = logging.getLogger("proxy.keys")

ERASE = "erase"

ANSWERING = 0x46544C41
"""The first half of the advisory lock under which a letter is answered."""

SCRUB_S = 600.0
"""For whole tables, however many persons there are."""

Answer = Mapping[str, Any]
CarryOut = Callable[[Letter], Awaitable[Answer]]

POST = "INSERT INTO letters VALUES ($1, $2, $3, $4, $5, NULL)"

READY = """
SELECT id, at_us, who, kind, detail FROM letters AS l
WHERE answer IS NULL AND (kind <> 'erase' OR NOT EXISTS (
    SELECT FROM readers AS r WHERE r.seen_at > clock_timestamp() - $1::interval
    AND NOT EXISTS (SELECT FROM marks AS m WHERE m.letter = l.id AND m.reader = r.id)))
ORDER BY at_us, id
"""

CLEAR = """
WITH gone AS (DELETE FROM letters WHERE answer IS NOT NULL AND at_us < $1 RETURNING id)
DELETE FROM marks USING gone WHERE marks.letter = gone.id
"""

TAKE = """
WITH gone AS (DELETE FROM letters WHERE id = $1 RETURNING id)
DELETE FROM marks USING gone WHERE marks.letter = gone.id
"""


class SharedMailbox:
    """The letters in one database, as one process sees them."""

    def __init__(self, line: Line, lease: Lease, lookup: bytes) -> None:
        self._line = line
        self._lease = lease
        self._lookup = lookup

    async def post(self, letter: Letter) -> None:
        async with self._line.held() as connection:
            await connection.execute(POST, *_values(letter))

    async def post_erasure(self, act: Act, tenant: str, user: str) -> bool:
        """Destroy a person's key and post the letter that says so, both or neither; False: no such person."""
        digest = digest_of(self._lookup, tenant, user)
        async with self._line.held() as connection, connection.transaction():
            key = await connection.fetchval("DELETE FROM subjects WHERE digest = $1 RETURNING key", digest)
            if key is None:
                return False
            detail = {"tenant": tenant, "pseudonym": pseudonym_of(key)}
            await connection.execute(POST, *_values(Letter(act, ERASE, detail)))
        return True

    async def heed(self, memories: Memories) -> None:
        """Have this process waited for, and let it forget whoever was erased."""
        await self._lease.heed(memories)

    async def unanswered(self) -> tuple[Letter, ...]:
        """What is to be done, the oldest first. A server that is away is asked again later."""
        try:
            async with self._line.held() as connection:
                rows = await connection.fetch(READY, GONE)
        except StoreRefused:
            return ()
        return tuple(
            Letter(Act(id_, at_us, who), kind, orjson.loads(detail)) for id_, at_us, who, kind, detail in rows
        )

    async def settle(self, letter: Letter, carry_out: CarryOut) -> None:
        """Have a letter carried out and answer it, if no other replica is about to.

        Of an erasure no trace is left by then. What cannot be done just now is left for the next look.
        """
        try:
            async with self._line.alone() as connection:
                if await _claimed(connection, letter.act.id):
                    await _answer(connection, letter, await carry_out(letter))
        except StoreRefused as error:
            log.warning("a letter cannot be answered now: %s", error)

    async def attended(self) -> bool:
        """Whether a process that looks for letters lives."""
        sql = "SELECT EXISTS (SELECT FROM readers WHERE seen_at > clock_timestamp() - $1::interval)"
        async with self._line.held() as connection:
            return bool(await connection.fetchval(sql, GONE))

    async def answer_to(self, id_: str) -> Answer | None:
        """The answer to a letter, or None while there is none; empty once the letter is gone."""
        async with self._line.held() as connection:
            row = await connection.fetchrow("SELECT answer FROM letters WHERE id = $1", id_)
        answer = "{}" if row is None else row[0]
        return None if answer is None else dict(orjson.loads(answer))

    async def take(self, id_: str) -> None:
        """Take an answered letter away."""
        async with self._line.held() as connection:
            await connection.execute(TAKE, id_)

    async def clear(self, before_us: int) -> None:
        """Take away what was answered before a moment, for whoever asked is gone."""
        try:
            async with self._line.held() as connection:
                await connection.execute(CLEAR, before_us)
        except StoreRefused:
            return  # the log has it, and there is time


async def _claimed(connection: asyncpg.Connection, id_: str) -> bool:
    """Whether this session answers the letter, and no other for as long as it lives."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1, hashtext($2))", ANSWERING, id_):
        return False
    await connection.execute(FORGET_DEAD, GONE)
    return id_ in {row[0] for row in await connection.fetch(READY, GONE)}


async def _answer(connection: asyncpg.Connection, letter: Letter, answer: Answer) -> None:
    if letter.kind == ERASE:
        await connection.execute("UPDATE letters SET detail = '{}' WHERE id = $1", letter.act.id)
        await scrub(connection)
    sql = "UPDATE letters SET detail = '{}', answer = $2 WHERE id = $1"
    await connection.execute(sql, letter.act.id, orjson.dumps(answer).decode())


async def scrub(connection: asyncpg.Connection) -> None:
    """Write the tables anew, so that their files hold living rows only.

    Not VACUUM FULL, which keeps what any transaction of the database, a dump perhaps, might still want to
    see. A copy from which the same table is filled again leaves nothing to who looks later.
    """
    for table in ("subjects", "letters"):
        # One by one: who looks for letters, and so says that it lives, must not wait for all persons.
        async with connection.transaction(isolation="read_committed"):
            # Whoever meets a person for the first time stands in line behind this.
            await connection.execute("SET LOCAL lock_timeout = '2s'")
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            await connection.execute(
                f"CREATE TEMPORARY TABLE kept ON COMMIT DROP AS TABLE {table}", timeout=SCRUB_S
            )
            await connection.execute(f"TRUNCATE {table}")
            # In order, because an index is filled faster from one side.
            again = f"INSERT INTO {table} SELECT * FROM kept ORDER BY 1"  # noqa: S608
            await connection.execute(again, timeout=SCRUB_S)


def _values(letter: Letter) -> tuple[str, int, str, str, str]:
    act = letter.act
    return act.id, act.at_us, act.who, letter.kind, orjson.dumps(letter.detail).decode()
