"""The ledger's tables in PostgreSQL: read and written a batch at a time, for each question is a journey.

`begin` takes the lock on the chain's end, under which batches of all replicas stand in one line, and reads
what the batch will touch; the journal's rules then run over what is in memory; `flush` writes what became
of it. So a batch of many calls costs the journeys of one. What a batch did not foresee is read when asked
for. Undone is what a request changed, by a log of what was there before.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import astuple, replace

from proxy.call import Identity
from proxy.store import entries
from proxy.store.batched import BatchedTables, Values
from proxy.store.cells import Cells
from proxy.store.chain import COLUMNS, Link
from proxy.store.fault import Misuse
from proxy.store.postgres import sql
from proxy.store.postgres.database import FAILURES
from proxy.store.postgres.questions import Questions
from proxy.store.postgres.reader import numbered
from proxy.store.postgres.records import FENCED, Fenced
from proxy.store.postgres.session import Session
from proxy.store.records import Counter, Opened, Spoilt
from proxy.store.reservation import Reservation
from proxy.store.rows import Row
from proxy.store.tables import Asked, Counted, Touched
from proxy.table import Unit

NUL = "\0"
ACTS = ("erase", "reset", "prune")


class PostgresTables(BatchedTables):
    """`Tables` within one transaction of one session."""

    def __init__(self, session: Session, epoch: int) -> None:
        self.session = session
        super().__init__(epoch)

    def forget(self) -> None:
        """The transaction ended: others may change everything from now on."""
        super().forget()
        self._lent: Cells[Counted, int] = Cells(self._log)
        """What this replica has borrowed of a counter and not spent."""
        self._lent_elsewhere: dict[Counted, int] = {}
        self._reserved: Cells[str, bool] = Cells(self._log)
        self._acts: Cells[str, bool] = Cells(self._log)
        self._seen: Cells[str, str | None] = Cells(self._log)
        self._questions = Questions(self.session, self._log)

    def begin(self, touched: Sequence[Touched]) -> None:
        """Open the writer's transaction, stand in line, and read what it is about."""
        self.session.execute("BEGIN")
        self.lock()
        self._read_calls([each.call_id for each in touched if each.call_id is not None])
        claimed = [claim.counter for call in self._calls.values() if call for claim in call.of.claims]
        self._read_counters([*claimed, *(claim.counter for each in touched for claim in each.claims)])
        self._questions.read(each.question.name for each in touched if each.question is not None)

    def lock(self) -> None:
        """Wait until nobody else appends, in a transaction that is open."""
        [(seq, own)] = self.session.fetch("SELECT seq, hash FROM state WHERE id = 1 FOR UPDATE")
        self.link = Link(seq, own)
        self.forget()

    # -- one request ---------------------------------------------------------------------------------

    def fatal(self, error: Exception) -> bool:
        return isinstance(error, (*FAILURES, Fenced, Spoilt))

    # -- rows ----------------------------------------------------------------------------------------

    def _admit(self, row: Row, values: Values) -> None:
        if any(isinstance(value, str) and NUL in value for value in values):
            raise Misuse(f"{row.call_id} has a NUL in its row, which PostgreSQL cannot keep")
        if row.kind == "reserve":
            self._know_call(row.call_id)
            if self._reserved[row.call_id]:
                raise Misuse(f"{row.call_id} was reserved before")
            self._reserved.put(row.call_id, True)
        elif row.kind in ACTS:
            self._acts.put(row.call_id, True)

    def _members(self, after: int, last: int) -> list[bytes]:
        return [own for (own,) in self.session.fetch(sql.MEMBERS, after, last)]

    def noted(self, act_id: str) -> bool:
        if act_id not in self._acts:
            self._acts[act_id] = bool(self.session.fetch(sql.NOTED, act_id))
        return self._acts[act_id]

    # -- counters ------------------------------------------------------------------------------------

    def known(self, call_id: str) -> bool:
        """Whether a call was ever reserved."""
        self._know_call(call_id)
        return self._reserved[call_id]

    def borrow(self, counter: Counted, amount: int) -> bool:
        """Set a part of a counter aside for this replica; False: it has one already."""
        self._counter(counter)
        if self._lent[counter]:
            return False
        self._lent.put(counter, amount)
        return True

    def give_back(self, counter: Counted) -> None:
        """Free what is left of this replica's part."""
        self._counter(counter)
        self._lent.put(counter, 0)

    def spend(self, counter: Counted, amount: int) -> None:
        """Hold what was granted from this replica's part; beyond it, if that was taken from it meanwhile."""
        self.hold(counter, amount)
        self._lent.put(counter, max(0, self._lent[counter] - amount))

    def hold(self, counter: Counted, amount: int) -> None:
        """Hold so much of a counter that is there, whether there is room or not."""
        found = self._counter(counter)
        if found is None:
            raise Misuse(f"{counter} was never claimed")
        self._counters.put(counter, replace(found, held=found.held + amount))

    def _lent_of(self, counter: Counted) -> int:
        return self._lent.get(counter, 0) + self._lent_elsewhere.get(counter, 0)

    def in_force(self, scope: str, now_s: int) -> Sequence[tuple[int, Unit, int]]:
        found = self.select(sql.IN_FORCE, scope, now_s)
        return [(window, Unit(unit), used) for window, unit, used in found]

    def _counter(self, counter: Counted) -> Counter | None:
        if NUL in counter[0]:
            raise Misuse("a counter has a NUL in its name, which PostgreSQL cannot keep")
        return super()._counter(counter)

    def _read_counters(self, counters: Iterable[Counted]) -> None:
        missing = sorted({each for each in counters if each not in self._counters and NUL not in each[0]})
        if not missing:
            return
        scopes, windows = zip(*missing, strict=True)
        found = self.session.fetch(sql.COUNTERS, scopes, windows, self.epoch)
        for scope, window, *stored, marks, mine, elsewhere in found:
            counter = (scope, window)
            self._lent[counter], self._lent_elsewhere[counter] = mine, elsewhere
            self._counters[counter] = None if stored[0] is None else Counter(*stored)
            self._marks[counter] = frozenset(marks)

    # -- open calls ----------------------------------------------------------------------------------

    def left(self) -> Sequence[Reservation]:
        self.flush()
        found = self._take_in(self.session.fetch(sql.LEFT))
        self._read_counters(claim.counter for call in found for claim in call.of.claims)
        return [call.of for call in found]

    def saw(self, call_id: str, seen: str) -> None:
        found = self._calls.get(call_id)
        if found is not None:
            self._calls.put(call_id, replace(found, seen=seen))
        elif call_id not in self._calls:
            self._seen.put(call_id, seen)

    def _know_call(self, call_id: str) -> Opened | None:
        if NUL in call_id:
            raise Misuse("a call has a NUL in its name, which PostgreSQL cannot keep")
        return super()._know_call(call_id)

    def _read_calls(self, calls: Iterable[str]) -> None:
        missing = sorted({each for each in calls if each not in self._calls and NUL not in each})
        if not missing:
            return
        found = self.session.fetch(sql.CALLS, missing)
        for call_id, reserved, *_ in found:
            self._calls[call_id], self._reserved[call_id] = None, reserved
        self._take_in([(call_id, *stored) for call_id, _, *stored in found if stored[0] is not None])

    def _take_in(self, found: Iterable[tuple[Any, ...]]) -> list[Opened]:
        calls = []
        for call_id, epoch, seq, claims, seen, *who, model, input_, output, nano_usd in found:
            bounds = (input_, output, nano_usd, seen)
            of = Reservation(call_id, entries.load(claims), Identity(*who), model, *bounds)
            self._calls[call_id] = Opened(epoch, seq, claims, seen, of)
            self._reserved[call_id] = True
            calls.append(self._calls[call_id])
        return [call for call in calls if call]

    def asked(self, name: bytes) -> Asked | None:
        return self._questions.find(name)

    def ask(self, name: bytes, asked: Asked | None) -> None:
        self._questions.put(name, asked)

    # -- acts of people, and the way to the server -----------------------------------------------------

    def touch(self) -> None:
        """Nothing: every transaction of ours says that this replica lives."""

    def select(self, sql: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        self.flush()
        return self.session.fetch(numbered(sql), *values)

    def execute(self, sql: str, *values: Any) -> int:
        self._leave_memory()
        return self.session.execute(numbered(sql), *values)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._leave_memory()
        self.session.execute_many(numbered(sql), rows)

    def flush(self) -> None:
        """Write all that changed since the last time. Raises `Fenced` where that is no longer ours to do."""
        self._notes_what_it_wrote()
        if self._roots:
            self.session.execute_many("INSERT INTO segments VALUES ($1, $2)", self._roots)
        self._flush_alerts()
        self._questions.flush()
        lent = [(*key, each) for key, each in self._lent.take_changes().items()]
        if lent:
            self.session.execute(sql.LEND, self.epoch, *columns(lent, 3))
        counters, calls, seen = (
            self._counters.take_changes(),
            self._calls.take_changes(),
            self._seen.take_changes(),
        )
        written = [(*key, *astuple(each)) for key, each in counters.items() if each is not None]
        opened = [(key, *each.columns) for key, each in calls.items() if each is not None]
        closed = [key for key, each in calls.items() if each is None]
        notes = [(key, each) for key, each in seen.items() if each is not None]
        arrays = (*columns(written, 8), *columns(opened, 5), closed, *columns(notes, 2))
        ended = (self.link.seq, self.link.hash, self.epoch)
        if not self.session.execute(sql.FLUSH, *arrays, *ended, *columns(self._rows, len(COLUMNS) + 2)):
            raise Fenced(FENCED)
        self._begins_anew()

    def flush_notes(self) -> None:
        """Write only how far calls have got."""
        notes = [(key, each) for key, each in self._seen.take_changes().items() if each is not None]
        self.session.execute(sql.WHISPER, *columns(notes, 2))

    def _flush_alerts(self) -> None:
        renewed = [key for key, each in self._renewed.take_changes().items() if each]
        if renewed:
            self.session.execute(sql.UNTELL, *columns(renewed, 2))
        marks = self._marks.take_changes()
        told = [(*key, mark) for key, each in marks.items() for mark in each]
        if told:
            self.session.execute(sql.TELL, *columns(told, 3))


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[tuple[Any, ...]]:
    """Rows as one array a column."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
