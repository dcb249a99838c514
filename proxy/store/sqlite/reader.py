"""`Reader` over the ledger's file: short statements on a connection that can change nothing."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw

from proxy.store import heads
from proxy.store.chain import Link
from proxy.store.fault import Unreadable
from proxy.store.heads import Head, Unread
from proxy.store.sqlite.database import open_file_to_read
from proxy.store.sqlite.remedies import remedy_for

DAMAGED = (apsw.Error, UnicodeDecodeError)
"""What reading a damaged file raises."""


class SqliteReader:
    """One connection, its owner's or its own."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self.place = path
        self._connection = connection

    def select(self, sql: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(sql, values)
        except DAMAGED as error:
            raise self._unreadable(error) from error

    def begin(self) -> None:
        self._do("BEGIN")

    def end(self) -> None:
        self._do("COMMIT")

    def heads(self) -> Sequence[Head | Unread]:
        return heads.read(self.place)

    def newest_head(self) -> Head | Unread | None:
        return heads.newest(self.place)

    def kept_end(self) -> Link | None:
        return None

    def close(self) -> None:
        self._connection.close(True)

    def _do(self, sql: str) -> None:
        try:
            self._connection.execute(sql)
        except DAMAGED as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Unreadable:
        return Unreadable(self.place, "SQLite cannot read it", str(error), remedy_for(error))


def open_sqlite(path: Path) -> SqliteReader:
    """A reader of its own. Raises `StoreRefused`."""
    return SqliteReader(open_file_to_read(path), path)
