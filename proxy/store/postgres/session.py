"""One connection to PostgreSQL, spoken to from a thread that runs no loop: each word waits for its answer.

The ledger's writer has a thread of its own, and so have those who read: to them a database is something
that answers, as SQLite is. The loop in here serves nothing but this connection.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from proxy.place import Database
from proxy.store.postgres.database import FAILURES, STATEMENT_S, connect

CLOSE_S = 2.0

T = TypeVar("T")


class Session:
    """A connection. Whatever goes wrong is one of `database.FAILURES`."""

    def __init__(self, database: Database, schema: str, statement_s: float = STATEMENT_S) -> None:
        self._loop = asyncio.new_event_loop()
        self._statement_s = statement_s
        try:
            self._connection: asyncpg.Connection = self._wait(connect(database, schema, statement_s))
        except BaseException:
            self._loop.close()
            raise

    def hasten(self, statement_s: float) -> None:
        """From now on take a server for lost that says nothing for so long."""
        self._statement_s = statement_s

    def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of the answer."""
        answer = self._connection.fetch(sql, *values, timeout=self._statement_s)
        return [tuple(row) for row in self._wait(answer)]

    def execute(self, sql: str, *values: Any) -> int:
        """How many rows were changed."""
        told: str = self._wait(self._connection.execute(sql, *values, timeout=self._statement_s))
        number = told.rpartition(" ")[2]
        return int(number) if number.isdecimal() else 0

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._wait(self._connection.executemany(sql, rows))

    def close(self) -> None:
        """Part with the server, whether it answers or not."""
        try:
            with suppress(*FAILURES):
                self._wait(self._connection.close(timeout=CLOSE_S))
            self._connection.terminate()
            self._wait(asyncio.sleep(0))  # the turn in which the loop closes the socket; it gets no other
        finally:
            self._loop.close()

    def _wait(self, answer: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(answer)
