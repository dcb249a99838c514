"""The ledger's tables in SQLite: each word of `proxy.store.tables` a statement or two."""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import orjson

from proxy.holds import Claim
from proxy.store.chain import COLUMNS, GENESIS, SEGMENT_ROWS, Link, leaf, segment_root
from proxy.store.fault import Misuse
from proxy.store.reservation import OPEN, Reservation, read
from proxy.store.rows import Row, values_of
from proxy.store.tables import ASKED_US, TIDIED, Asked, Counted, Stand
from proxy.table import Unit

_NAMES = ", ".join((*COLUMNS, "prev", "hash"))

APPEND = f"INSERT INTO rows ({_NAMES}) VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"  # noqa: S608 - our own names

MEMBERS = "SELECT hash FROM rows WHERE seq > ? ORDER BY seq"

LAST = "SELECT seq, hash FROM rows ORDER BY seq DESC LIMIT 1"

# One statement admits: the row appears or grows only if the claim fits beneath the ceiling, or is a shadow.
TAKE = """
INSERT INTO balances (scope, window_start, window_end, unit, used, held, ceiling, marks)
SELECT ?1, ?2, ?3, ?4, 0, ?5, ?6, ?7 WHERE ?8 OR ?5 <= ?6
ON CONFLICT (scope, window_start) DO UPDATE
SET held = held + excluded.held, ceiling = excluded.ceiling, marks = excluded.marks
WHERE ?8 OR used + held + excluded.held <= excluded.ceiling
RETURNING used, held
"""

LOOK = "SELECT used, held FROM balances WHERE scope = ? AND window_start = ?"

GIVE = """
UPDATE balances SET used = used + ?1, held = held - ?2 WHERE scope = ?3 AND window_start = ?4
RETURNING used, ceiling, marks
"""

IN_FORCE = """
SELECT window_start, unit, used FROM balances WHERE scope = ? AND window_end > ? ORDER BY window_start
"""

RENEW = "UPDATE balances SET used = 0 WHERE scope = ? AND window_start = ?"

NOTED = "SELECT 1 FROM rows WHERE call_id = ? AND kind IN ('erase', 'reset', 'prune')"

OPENED = "INSERT INTO open_calls (call_id, epoch, seq, claims) VALUES (?, ?, ?, ?)"

ASKED = "SELECT digest, call_id, at_us FROM questions WHERE name = ?"

TIDY = f"""
DELETE FROM questions
WHERE name IN (SELECT name FROM questions WHERE at_us <= ? ORDER BY at_us LIMIT {TIDIED})
"""  # noqa: S608 - our own number

TOLD_MAX = 10_000


class SqliteTables:
    """`Tables` over one connection."""

    def __init__(self, connection: apsw.Connection, epoch: int) -> None:
        self.connection = connection
        self.epoch = epoch
        self._link: Link | None = None
        """The chain's end within the transaction under way; None: ask the file."""
        self._link_before: Link | None = None
        self._told: set[tuple[Counted, int]] = set()
        """Marks remembered to spare the file a question; it has the truth."""

    def begin(self) -> None:
        """Open the writer's transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        self._link = None

    def forget(self) -> None:
        """The transaction was undone."""
        self._link = None
        self._told.clear()

    def savepoint(self) -> None:
        self._link_before = self._link
        self.connection.execute("SAVEPOINT request")

    def keep(self) -> None:
        self.connection.execute("RELEASE request")

    def undo(self) -> None:
        self.connection.execute("ROLLBACK TO request")
        self.connection.execute("RELEASE request")
        self._link = self._link_before
        self._told.clear()

    def fatal(self, error: Exception) -> bool:
        return isinstance(error, apsw.Error) and not isinstance(error, apsw.ConstraintError)

    def tail(self) -> Link:
        if self._link is None:
            self._link = last(self.connection)
        return self._link

    def append(self, row: Row) -> Link:
        before = self.tail()
        seq = before.seq + 1
        values = values_of(seq, self.epoch, row)
        link = self._link = Link(seq, leaf(before.hash, values))
        try:
            self.connection.execute(APPEND, (*values, before.hash, link.hash))
        except apsw.ConstraintError as error:
            raise Misuse(f"{row.call_id} was reserved before, or its row cannot be") from error
        if seq % SEGMENT_ROWS == 0:
            members: Iterable[tuple[bytes]] = self.connection.execute(MEMBERS, (seq - SEGMENT_ROWS,))
            root = segment_root([own for (own,) in members])
            self.connection.execute("INSERT INTO segments VALUES (?, ?)", (seq // SEGMENT_ROWS, root))
        return link

    def noted(self, act_id: str) -> bool:
        return self.connection.execute(NOTED, (act_id,)).fetchone() is not None

    def take(self, claim: Claim) -> tuple[int, int] | None:
        marks = orjson.dumps(claim.marks).decode()
        start, end, held = claim.window, claim.window_end, claim.amount
        asked = (claim.scope, start, end, claim.unit, held, claim.ceiling, marks, claim.shadow)
        found: list[tuple[Any, ...]] = self.connection.execute(TAKE, asked).fetchall()
        return (found[0][0], found[0][1]) if found else None

    def look(self, counter: Counted) -> tuple[int, int]:
        used, held = self.connection.execute(LOOK, counter).fetchone() or (0, 0)
        return used, held

    def give(self, counter: Counted, used: int, freed: int) -> Stand:
        found: list[Any] = self.connection.execute(GIVE, (used, freed, *counter)).fetchall()
        return Stand(*found[0])

    def in_force(self, scope: str, now_s: int) -> Sequence[tuple[int, Unit, int]]:
        found: Iterable[tuple[int, str, int]] = self.connection.execute(IN_FORCE, (scope, now_s))
        return [(window, Unit(unit), used) for window, unit, used in found]

    def renew(self, counter: Counted) -> None:
        self._told.clear()
        self.connection.execute(RENEW, counter)
        self.connection.execute("DELETE FROM alerts WHERE scope = ? AND window_start = ?", counter)

    def first_told(self, counter: Counted, mark: int) -> bool:
        if (counter, mark) in self._told:
            return False
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told.add((counter, mark))
        self.connection.execute("INSERT OR IGNORE INTO alerts VALUES (?, ?, ?)", (*counter, mark))
        return self.connection.changes() > 0

    def find(self, call_id: str) -> Reservation | None:
        found = self.connection.execute(f"{OPEN} WHERE o.call_id = ?", (call_id,)).fetchone()
        return None if found is None else read(found)

    def left(self) -> Sequence[Reservation]:
        found = self.connection.execute(f"{OPEN} WHERE o.epoch < ? ORDER BY o.seq", (self.epoch,))
        return [read(each) for each in found.fetchall()]

    def open(self, row: Row, seq: int) -> None:
        self.connection.execute(OPENED, (row.call_id, self.epoch, seq, row.entries))

    def widen(self, call_id: str, claims: str) -> None:
        self.connection.execute("UPDATE open_calls SET claims = ? WHERE call_id = ?", (claims, call_id))

    def saw(self, call_id: str, seen: str) -> None:
        self.connection.execute("UPDATE open_calls SET seen = ? WHERE call_id = ?", (seen, call_id))

    def close(self, call_id: str) -> None:
        self.connection.execute("DELETE FROM open_calls WHERE call_id = ?", (call_id,))

    def asked(self, name: bytes) -> Asked | None:
        found = self.connection.execute(ASKED, (name,)).fetchone()
        return None if found is None else Asked(*found)

    def ask(self, name: bytes, asked: Asked | None) -> None:
        if asked is None:
            self.connection.execute("DELETE FROM questions WHERE name = ?", (name,))
            return
        self.connection.execute("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?)", (name, *asked))
        self.connection.execute(TIDY, (asked.at_us - ASKED_US,))

    def touch(self) -> None:
        self.connection.execute("UPDATE state SET epoch = epoch")

    def select(self, sql: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.connection.execute(sql, values).fetchall()
        return found

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self.connection.executemany(sql, [tuple(row) for row in rows])

    def execute(self, sql: str, *values: Any) -> int:
        self.connection.execute(sql, values)
        return self.connection.changes()


def last(connection: apsw.Connection) -> Link:
    """Where the chain ends, as the file has it."""
    found = connection.execute(LAST).fetchone()
    return GENESIS if found is None else Link(*found)
