"""Whoever may write the ledger: changes rows, and puts everything right again that he can reach.

He has no key and cannot reach a head that is kept elsewhere; that is all that stands against him.
"""

import sqlite3
from contextlib import closing, contextmanager

import orjson

from proxy.place import Database
from proxy.store import replay
from proxy.store.chain import COLUMNS, GENESIS, SEGMENT_ROWS, leaf, segment_root
from proxy.store.postgres.database import LEDGER
from proxy.store.postgres.reader import numbered
from proxy.store.postgres.session import Session
from tests.store.stores import beside

TRIGGERS = ("rows_never_change", "rows_never_go", "segments_never_change", "segments_never_go")
ALL = ", ".join((*COLUMNS, "prev", "hash"))


@contextmanager
def breaking_in(place):
    """A connection that nothing holds back: no trigger, no check, no foreign key."""
    with _into_server(place) if isinstance(place, Database) else _into_file(place) as connection:
        yield connection


@contextmanager
def _into_file(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("BEGIN")
        for trigger in TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        yield connection
        connection.execute("COMMIT")


class Superuser:
    """A session that answers as a connection of `sqlite3` does."""

    def __init__(self, session):
        self.session = session

    def execute(self, sql, values=()):
        if sql.startswith("SELECT"):
            return Answer(beside(lambda: self.session.fetch(numbered(sql), *values)))
        return Answer([(beside(lambda: self.session.execute(numbered(sql), *values)),)])


class Answer(list):
    def fetchall(self):
        return self

    def fetchone(self):
        return self[0] if self else None


GUARDED = ("rows", "segments", "stub", "past", "heads", "balances", "open_calls", "alerts", "state")

LOOSEN = (
    "ALTER TABLE rows DROP CONSTRAINT rows_kind_check, DROP CONSTRAINT rows_source_check",
    "ALTER TABLE rows DROP CONSTRAINT rows_consent_check, DROP CONSTRAINT rows_nano_usd_check",
    "ALTER TABLE rows ALTER COLUMN attempts TYPE text",
    "DROP INDEX rows_reserved_once, rows_resolved_once, rows_noted_once",
)


@contextmanager
def _into_server(database):
    session = beside(lambda: Session(database, LEDGER))
    try:
        connection = Superuser(session)
        for table in GUARDED:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")
    finally:
        beside(session.close)


def loosened(connection):
    """Take away what would still stand in the way of nonsense in a server's rows."""
    for statement in LOOSEN:
        connection.execute(statement)


def flipped(value, kind):
    """The smallest change of a value: one bit, or something where there was nothing."""
    if value is None:
        return "" if kind == "TEXT" else 0
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    return value[:-1] + chr(ord(value[-1]) ^ 64)


def flip(connection, column, seq):
    """Change one value of one row; what undoes it."""
    if isinstance(connection, Superuser):
        kinds = connection.execute(
            "SELECT column_name, upper(data_type) FROM information_schema.columns WHERE table_name = 'rows'"
        )
    else:
        kinds = connection.execute("SELECT name, type FROM pragma_table_info('rows')")
    (value,) = connection.execute(f"SELECT {column} FROM rows WHERE seq = ?", (seq,)).fetchone()
    changed = seq + 10**6 if column == "seq" else flipped(value, dict(kinds)[column])
    there = changed if column == "seq" else seq
    connection.execute(f"UPDATE rows SET {column} = ? WHERE seq = ?", (changed, seq))
    return f"UPDATE rows SET {column} = ? WHERE seq = ?", (value, there)


def shift(connection, after, by):
    """Renumber the rows after one, so that a gap opens or closes."""
    connection.execute("UPDATE rows SET seq = -seq WHERE seq > ?", (after,))
    connection.execute("UPDATE rows SET seq = -seq + ? WHERE seq < 0", (by,))


def delete(connection, seq):
    connection.execute("DELETE FROM rows WHERE seq = ?", (seq,))


def insert(connection, seq):
    """A second alert row behind a true one, number and all."""
    shift(connection, seq, 1)
    names = ", ".join((*COLUMNS[1:], "prev", "hash"))
    connection.execute(
        f"INSERT INTO rows (seq, {names}) SELECT seq + 1, {names} FROM rows WHERE seq = ?", (seq,)
    )


def swap(connection, seq):
    connection.execute("UPDATE rows SET seq = -1 WHERE seq = ?", (seq,))
    connection.execute("UPDATE rows SET seq = ? WHERE seq = ?", (seq, seq + 1))
    connection.execute("UPDATE rows SET seq = ? WHERE seq = -1", (seq + 1,))


def rehash(connection):
    """Chain all rows anew, with new roots."""
    before, leaves = GENESIS.hash, []
    connection.execute("DELETE FROM segments")
    for seq, *row in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM rows ORDER BY seq").fetchall():
        own = leaf(before, (seq, *row))
        connection.execute("UPDATE rows SET prev = ?, hash = ? WHERE seq = ?", (before, own, seq))
        before = own
        leaves.append(own)
        if seq % SEGMENT_ROWS == 0:
            root = segment_root(leaves[-SEGMENT_ROWS:])
            connection.execute("INSERT INTO segments VALUES (?, ?)", (seq // SEGMENT_ROWS, root))


def mend(connection):
    """Make every working table what the rows now come to."""
    seen = replay.Replay()
    for row in connection.execute(replay.ROWS, (0, 10**9)):
        seen.row(*row)
    held = seen.held()
    for scope, window in connection.execute("SELECT scope, window_start FROM balances").fetchall():
        sums = (seen.used[scope, window], held[scope, window], scope, window)
        connection.execute(
            "UPDATE balances SET used = ?, held = ? WHERE scope = ? AND window_start = ?", sums
        )
    connection.execute("DELETE FROM open_calls")
    for call_id, left in seen.open.items():
        claims = orjson.dumps(left.claims).decode()
        connection.execute(
            "INSERT INTO open_calls VALUES (?, ?, ?, ?, NULL)", (call_id, left.epoch, left.seq, claims)
        )
    connection.execute("DELETE FROM alerts")
    for alert in sorted(seen.alerts):
        connection.execute("INSERT INTO alerts VALUES (?, ?, ?)", alert)
