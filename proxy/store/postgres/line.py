"""A connection to PostgreSQL on the loop: its users take turns, and one that was lost is made again.

Whoever finds the server gone says so by `StoreRefused`; the log has it once, until the server is back.
What may take long, or holds a lock for its session, asks for a connection of its own (`alone`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from proxy.place import Database
from proxy.store.postgres.database import FAILURES, connect, unreachable, words_of

log = logging.getLogger("proxy.keys")

CLOSE_S = 2.0


class Line:
    """The way to one schema of a database."""

    def __init__(self, database: Database, schema: str) -> None:
        self.database = database
        self._schema = schema
        self._turn = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._lost = False

    @asynccontextmanager
    async def held(self) -> AsyncIterator[asyncpg.Connection]:
        """The connection, for a moment. Raises `StoreRefused`."""
        async with self._turn:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(self.database, self._schema)
                yield self._connection
            except FAILURES as error:
                self._hang_up()
                if not self._lost:
                    log.warning("keys, end persons and letters are out of reach: %s", words_of(error))
                self._lost = True
                raise unreachable(self.database, error) from error
            if self._lost:
                log.warning("keys, end persons and letters are within reach again")
            self._lost = False

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[asyncpg.Connection]:
        """Another connection, closed afterwards. Raises `StoreRefused`."""
        try:
            connection = await connect(self.database, self._schema)
            try:
                yield connection
            finally:
                await _part(connection)
        except FAILURES as error:
            raise unreachable(self.database, error) from error

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await _part(connection)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _part(connection: asyncpg.Connection) -> None:
    with suppress(*FAILURES):
        await connection.close(timeout=CLOSE_S)
