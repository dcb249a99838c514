"""`Reader` over a PostgreSQL ledger: each `begin` is one view of everything, which holds up nobody."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from proxy.place import Database
from proxy.store import heads
from proxy.store.chain import Link
from proxy.store.fault import StoreRefused, Unreadable
from proxy.store.heads import Head, Unread
from proxy.store.postgres.database import (
    FAILURES,
    LEDGER,
    READING_S,
    UNREADABLE,
    refuse_newer,
    unreachable,
    words_of,
)
from proxy.store.postgres.session import Session


class PostgresReader:
    """One session, its owner's or its own."""

    def __init__(self, session: Session, database: Database) -> None:
        self.place = database
        self._session = session

    def select(self, sql: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        try:
            return self._session.fetch(numbered(sql), *values)
        except FAILURES as error:
            raise self._unreadable(error) from error

    def begin(self) -> None:
        self._do("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def end(self) -> None:
        self._do("COMMIT")

    def heads(self) -> Sequence[Head | Unread]:
        lines = self.select("SELECT line FROM heads ORDER BY size")
        return [heads.parse(line.encode(), number) for number, (line,) in enumerate(lines, 1)]

    def newest_head(self) -> Head | Unread | None:
        lines = self.select("SELECT line FROM heads ORDER BY size DESC LIMIT 1")
        return next((heads.parse(line.encode(), 0) for (line,) in lines), None)

    def kept_end(self) -> Link | None:
        return next((Link(*row) for row in self.select("SELECT seq, hash FROM state WHERE id = 1")), None)

    def close(self) -> None:
        self._session.close()

    def _do(self, sql: str) -> None:
        try:
            self._session.execute(sql)
        except FAILURES as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Unreadable:
        return Unreadable(self.place, "PostgreSQL cannot read it", words_of(error), "see to the server")


def open_postgres(database: Database) -> PostgresReader:
    """A reader of its own, which makes nothing. Raises `StoreRefused`. Its thread must run no loop."""
    try:
        session = Session(database, LEDGER, READING_S)
    except (*FAILURES, *UNREADABLE) as error:
        raise unreachable(database, error) from error
    reader = PostgresReader(session, database)
    try:
        _check_ours(reader)
    except BaseException:
        session.close()
        raise
    return reader


def _check_ours(reader: PostgresReader) -> None:
    [(there,)] = reader.select("SELECT to_regclass('schema_version') IS NOT NULL")
    if not there:
        raise StoreRefused(reader.place, "there is no ledger here", "start the proxy once, or name another")
    [(version,)] = reader.select("SELECT coalesce(max(version), 0) FROM schema_version")
    refuse_newer(reader.place, LEDGER, version)


@lru_cache(64)
def numbered(sql: str) -> str:
    """The house's parameters (`?`, `?1`) as PostgreSQL has them."""
    numbers = count(1)
    return re.sub(r"\?(\d*)", lambda found: f"${found[1] or next(numbers)}", sql)
