"""One of the processes that remember end persons, and the lease on which it does.

An erasure is answered only when every reader that lives has let go. One that has been silent for
`GONE_S` by the server's clock is waited for no longer; so each uses what it remembers only for `LEASE_S`
from when it last said that it lives, by its own clock, which is over before the server gives it up. One
that was given up begins anew, with nothing remembered.
"""

import asyncio
from datetime import timedelta

import asyncpg
import orjson

from proxy.ports import Clock
from proxy.store.fault import StoreRefused
from proxy.store.memories import Memories
from proxy.store.postgres.line import Line

RENEW_S = 2.0
LEASE_S = 7.0
GONE_S = 10.0
GONE = timedelta(seconds=GONE_S)
PARTING_S = 2.0
"""How long a process that ends waits for a server that is silent."""

RENEW = """
UPDATE readers SET seen_at = clock_timestamp() WHERE id = $1 AND seen_at > clock_timestamp() - $2::interval
"""

FORGET_DEAD = "DELETE FROM readers WHERE seen_at <= clock_timestamp() - $1::interval"
"""One that says right now that it lives has locked its row, and is not old any more when this goes on."""

UNHEEDED = """
SELECT id, detail FROM letters
WHERE kind = 'erase' AND answer IS NULL AND NOT EXISTS (SELECT FROM marks WHERE letter = id AND reader = $1)
"""


class Lease:
    """Held by a process that calls `heed` several times a second; one that does not may remember nobody."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._id: int | None = None
        self._said_s = 0.0
        """When it last said that it lives, or rather began to."""

    @property
    def era(self) -> int | None:
        """The name under which it is waited for; None: perhaps nobody waits for it."""
        return self._id if self._clock.mono() - self._said_s < LEASE_S else None

    async def heed(self, memories: Memories) -> None:
        """Say that this process lives, and let go of whoever was erased. A server may be away for a while."""
        try:
            async with self._line.held() as connection:
                if not await self._renewed(connection):
                    await self._join(connection, memories)
                for letter, detail in await connection.fetch(UNHEEDED, self._id):
                    told = orjson.loads(detail)
                    if told:  # else all that lived then had let go of them, and only the answer is missing
                        memories.forget(told["tenant"], told["pseudonym"])
                    await connection.execute(
                        "INSERT INTO marks VALUES ($1, $2) ON CONFLICT DO NOTHING", letter, self._id
                    )
        except StoreRefused:
            return  # the log has it; the lease runs out by itself

    async def leave(self) -> None:
        """Be waited for no longer."""
        id_, self._id = self._id, None
        if id_ is None:
            return
        try:
            async with asyncio.timeout(PARTING_S), self._line.held() as connection:
                await connection.execute("DELETE FROM readers WHERE id = $1", id_)
        except (StoreRefused, TimeoutError):
            return  # it will have been silent for long enough

    async def _renewed(self, connection: asyncpg.Connection) -> bool:
        now = self._clock.mono()
        if self._id is None:
            return False
        if now - self._said_s < RENEW_S:
            return True
        told: str = await connection.execute(RENEW, self._id, GONE)
        if told != "UPDATE 1":
            return False
        self._said_s = now
        return True

    async def _join(self, connection: asyncpg.Connection, memories: Memories) -> None:
        self._id, now = None, self._clock.mono()
        await connection.execute(FORGET_DEAD, GONE)
        id_ = await connection.fetchval(
            "INSERT INTO readers (seen_at) VALUES (clock_timestamp()) RETURNING id"
        )
        # Only now: whatever was read before is not waited for.
        memories.forget_all()
        self._id, self._said_s = int(id_), now
