"""The ledger's tables in SQLite: all that a batch changed is written when it ends, many rows in a statement.

This process owns the file, so that what it has read or written stays true from one transaction to the
next, until one is undone: a call is read back from memory, and a counter from the file only once. The
file's own rules may still refuse a row (reserved once, resolved once). It does not say which row of
a batch it refused, so that this raises `Contested` and the writer tries each request alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
from msgspec.structs import astuple, replace

from proxy.store.batched import BatchedTables, Values
from proxy.store.cells import Cells
from proxy.store.chain import COLUMNS, GENESIS, Link
from proxy.store.fault import Contested, Misuse
from proxy.store.records import Counter, Opened, Spoilt
from proxy.store.reservation import OPEN, Reservation, read
from proxy.store.rows import Row
from proxy.store.sqlite.lots import Lots
from proxy.store.tables import ASKED_US, TIDIED, Asked, Counted
from proxy.table import Unit

_NAMES = (*COLUMNS, "prev", "hash")

APPEND = Lots(f"INSERT INTO rows ({', '.join(_NAMES)}) VALUES", len(_NAMES))

CALL_ID = COLUMNS.index("call_id")

MEMBERS = "SELECT hash FROM rows WHERE seq > ? AND seq <= ? ORDER BY seq"

LAST = "SELECT seq, hash FROM rows ORDER BY seq DESC LIMIT 1"

COUNTER = """
SELECT window_end, unit, used, held, ceiling, marks FROM balances WHERE scope = ? AND window_start = ?
"""

MARKS = "SELECT mark FROM alerts WHERE scope = ? AND window_start = ?"

COUNT = Lots(
    "INSERT INTO balances (scope, window_start, window_end, unit, used, held, ceiling, marks) VALUES",
    8,
    """ON CONFLICT (scope, window_start) DO UPDATE
    SET used = excluded.used, held = excluded.held, ceiling = excluded.ceiling, marks = excluded.marks""",
)

TELL = "INSERT OR IGNORE INTO alerts VALUES (?, ?, ?)"

UNTELL = "DELETE FROM alerts WHERE scope = ? AND window_start = ?"

IN_FORCE = """
SELECT window_start, unit, used FROM balances WHERE scope = ? AND window_end > ? ORDER BY window_start
"""

NOTED = "SELECT 1 FROM rows WHERE call_id = ? AND kind IN ('erase', 'reset', 'prune')"

OPENED = Lots(
    "INSERT INTO open_calls (call_id, epoch, seq, claims, seen) VALUES",
    5,
    "ON CONFLICT (call_id) DO UPDATE SET claims = excluded.claims, seen = excluded.seen",
)

CLOSED = Lots("DELETE FROM open_calls WHERE call_id IN (", 1, ")")
"""Not `IN (VALUES …)`, for which SQLite makes a table in memory though there be one: of one this is `=`."""

ASKED = "SELECT digest, call_id, at_us FROM questions WHERE name = ?"

TIDY = f"""
DELETE FROM questions
WHERE name IN (SELECT name FROM questions WHERE at_us <= ? ORDER BY at_us LIMIT {TIDIED})
"""  # noqa: S608 - our own number

REMEMBERED = 20_000
"""Counters believed at most; beyond, all are read anew when they are next counted in."""


class SqliteTables(BatchedTables):
    """`Tables` over one connection."""

    def __init__(self, connection: apsw.Connection, epoch: int) -> None:
        self.connection = connection
        super().__init__(epoch)

    def begin(self) -> None:
        """Open the writer's transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        self._astray = True
        self.tail()
        self._begins_anew()

    def tail(self) -> Link:
        if self._astray:
            self.link, self._astray = last(self.connection), False
        return self.link

    def forget(self) -> None:
        """The transaction was undone, or the file opened anew."""
        super().forget()
        self._astray = True
        """Whether only the file knows where the chain ends."""
        self._questions: Cells[bytes, Asked | None] = Cells(self._log)

    def fatal(self, error: Exception) -> bool:
        own = isinstance(error, (apsw.Error, Spoilt, Contested))
        return own and not isinstance(error, apsw.ConstraintError)

    def noted(self, act_id: str) -> bool:
        return bool(self.select(NOTED, act_id))

    def _admit(self, row: Row, values: Values) -> None:
        if row.kind == "reserve" and self._calls.get(row.call_id) is not None:
            raise Misuse(f"{row.call_id} is open")

    def in_force(self, scope: str, now_s: int) -> Sequence[tuple[int, Unit, int]]:
        found = self.select(IN_FORCE, scope, now_s)
        return [(window, Unit(unit), used) for window, unit, used in found]

    def left(self) -> Sequence[Reservation]:
        found = self._take_in("WHERE o.epoch < ? ORDER BY o.seq", self.epoch)
        return [call.of for call in found]

    def saw(self, call_id: str, seen: str) -> None:
        found = self._know_call(call_id)
        if found is not None:
            self._calls.put(call_id, replace(found, seen=seen))

    def asked(self, name: bytes) -> Asked | None:
        if name not in self._questions:
            found = self.connection.execute(ASKED, (name,)).fetchone()
            self._questions[name] = None if found is None else Asked(*found)
        return self._questions[name]

    def ask(self, name: bytes, asked: Asked | None) -> None:
        self.asked(name)
        self._questions.put(name, asked)

    def touch(self) -> None:
        self.connection.execute("UPDATE state SET epoch = epoch")

    def select(self, sql: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        self.flush()
        found: list[tuple[Any, ...]] = self.connection.execute(sql, values).fetchall()
        return found

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._leave_memory()
        self.connection.executemany(sql, [tuple(row) for row in rows])

    def execute(self, sql: str, *values: Any) -> int:
        self._leave_memory()
        self.connection.execute(sql, values)
        return self.connection.changes()

    def flush(self) -> None:
        self._notes_what_it_wrote()
        self._flush_rows()
        calls = self._calls.take_changes()
        opened = [(key, *each.columns) for key, each in calls.items() if each is not None]
        closed = [(key,) for key, each in calls.items() if each is None]
        OPENED.write(self.connection, opened)
        CLOSED.write(self.connection, closed)
        for (key,) in closed:
            del self._calls[key]
        counters = self._counters.take_changes()
        counted = [(*key, *astuple(each)) for key, each in counters.items() if each is not None]
        COUNT.write(self.connection, counted)
        self._flush_marks()
        self._flush_questions()
        self._begins_anew()
        if len(self._counters) > REMEMBERED:
            self._counters.clear()
            self._marks.clear()

    def _flush_rows(self) -> None:
        try:
            APPEND.write(self.connection, self._rows)
        except apsw.ConstraintError as error:
            calls = ", ".join({row[CALL_ID] for row in self._rows})
            raise Contested(f"{calls}: reserved or resolved before, or a row cannot be") from error
        if self._roots:
            self.connection.executemany("INSERT INTO segments VALUES (?, ?)", self._roots)

    def _flush_marks(self) -> None:
        renewed, marks = self._renewed.take_changes(), self._marks.take_changes()
        if renewed:
            self.connection.executemany(UNTELL, [key for key, each in renewed.items() if each])
        if marks:
            told = [(*key, mark) for key, each in marks.items() for mark in each]
            self.connection.executemany(TELL, told)

    def _flush_questions(self) -> None:
        changes = self._questions.take_changes()
        self._questions.clear()
        if not changes:
            return
        asked = [(name, *each) for name, each in changes.items() if each is not None]
        if asked:
            self.connection.executemany("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?)", asked)
            self.connection.executemany(TIDY, [(at_us - ASKED_US,) for *_, at_us in asked])
        if len(asked) < len(changes):
            dropped = [(name,) for name, each in changes.items() if each is None]
            self.connection.executemany("DELETE FROM questions WHERE name = ?", dropped)

    def _read_counters(self, counters: Iterable[Counted]) -> None:
        for counter in counters:
            found = self.connection.execute(COUNTER, counter).fetchone()
            self._counters[counter] = None if found is None else Counter(*found)
            self._marks[counter] = frozenset(mark for (mark,) in self.connection.execute(MARKS, counter))

    def _read_calls(self, calls: Iterable[str]) -> None:
        for call_id in calls:
            self._take_in("WHERE o.call_id = ?", call_id)

    def _take_in(self, which: str, value: str | int) -> list[Opened]:
        found = []
        rows: list[tuple[Any, ...]] = self.connection.execute(f"{OPEN} {which}", (value,)).fetchall()
        for epoch, seq, *rest in rows:
            of = read(rest)
            call = self._calls[of.call_id] = Opened(epoch, seq, rest[1], of.seen, of)
            found.append(call)
        return found

    def _members(self, after: int, last: int) -> list[bytes]:
        return [own for (own,) in self.connection.execute(MEMBERS, (after, last))]


def last(connection: apsw.Connection) -> Link:
    """Where the chain ends, as the file has it."""
    found = connection.execute(LAST).fetchone()
    return GENESIS if found is None else Link(*found)
