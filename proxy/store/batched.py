"""The ledger's tables as one transaction has them in memory: what both stores do in the same way.

The journal's rules run over values that were read, if need be, and are written together when the batch
ends, so that a hot counter costs one read and one write a batch, however many calls it counted. What a
request changed is undone by a log of what was there before. `sqlite/tables.py` and `postgres/tables.py`
say how values are read and written, and for how long they may be believed; nothing here knows a database.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from msgspec.structs import replace

from proxy.holds import Claim
from proxy.store import entries
from proxy.store.cells import Cells, Log, roll_back
from proxy.store.chain import SEGMENT_ROWS, Link, leaf, segment_root
from proxy.store.entries import Entry
from proxy.store.fault import Misuse
from proxy.store.records import Counter, Mark, Opened, Spoilt
from proxy.store.reservation import Reservation
from proxy.store.rows import Row, values_of
from proxy.store.tables import Counted, Stand

MARKS = 1024
"""Sets of marks whose text is remembered; a table has a few."""

INTEGER_MAX = 2**63 - 1

Values = tuple[Any, ...]


class BatchedTables:
    """What `Tables` has of working state, in memory."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.link = Link(0, bytes(32))
        """The chain's end, those of the transaction under way included."""
        self.forget()

    def forget(self) -> None:
        """Nothing that was read or changed is believed any more."""
        self._log: Log = []
        self._counters: Cells[Counted, Counter | None] = Cells(self._log)
        self._marks: Cells[Counted, frozenset[int]] = Cells(self._log)
        self._renewed: Cells[Counted, bool] = Cells(self._log)
        self._calls: Cells[str, Opened | None] = Cells(self._log)
        self._rows: list[Values] = []
        """Not written yet, in order: what a row's hash covers, the hash before it, its own."""
        self._roots: list[tuple[int, bytes]] = []
        self._mark = Mark(self.link)
        self._beyond = False
        """Whether something of the request under way is in the database already."""

    # -- how a store reads ---------------------------------------------------------------------------

    def _read_counters(self, counters: Iterable[Counted]) -> None:
        """Take in what the database has of these, and which of their marks were told."""
        raise NotImplementedError

    def _read_calls(self, calls: Iterable[str]) -> None:
        """Take in which of these are open."""
        raise NotImplementedError

    def _members(self, after: int, last: int) -> list[bytes]:
        """The hashes of rows `after + 1` to `last`, all of them in the database."""
        raise NotImplementedError

    # -- one request ---------------------------------------------------------------------------------

    def savepoint(self) -> None:
        self._mark = Mark(self.link, len(self._log), len(self._rows), len(self._roots))
        self._beyond = False

    def undo(self) -> None:
        if self._beyond:
            raise Spoilt("a request failed when it had written")  # then nothing of the batch may stay
        roll_back(self._log, self._mark.changes)
        del self._rows[self._mark.rows :], self._roots[self._mark.roots :]
        self.link = self._mark.link

    # -- rows ----------------------------------------------------------------------------------------

    def tail(self) -> Link:
        return self.link

    def append(self, row: Row) -> Link:
        before, seq = self.link, self.link.seq + 1
        values = values_of(seq, self.epoch, row)
        self._admit(row, values)
        link = self.link = Link(seq, leaf(before.hash, values))
        self._rows.append((*values, before.hash, link.hash))
        if seq % SEGMENT_ROWS == 0:
            self._roots.append((seq // SEGMENT_ROWS, self._segment_root(seq)))
        return link

    def _admit(self, row: Row, values: Values) -> None:
        """Raises `Misuse` for a row that the database would not keep, as far as that is known here."""

    def _segment_root(self, seq: int) -> bytes:
        start = seq - SEGMENT_ROWS
        pending = [row[-1] for row in self._rows if row[0] > start]
        return segment_root([*self._members(start, seq - len(pending)), *pending])

    # -- counters ------------------------------------------------------------------------------------

    def take(self, claim: Claim) -> tuple[int, int] | None:
        if claim.ceiling < 0:
            raise Misuse(f"a ceiling of {claim.scope} is negative")
        counter = (claim.scope, claim.window)
        found = self._counter(counter)
        used, held = (found.used, found.held + claim.amount) if found else (0, claim.amount)
        if used + held > INTEGER_MAX:
            raise Misuse(f"a claim on {claim.scope} leaves 64 bits")
        lent = self._lent_of(counter)
        if used + held + lent > claim.ceiling and not claim.shadow:
            return None
        end, unit = (found.window_end, found.unit) if found else (claim.window_end, claim.unit.value)
        self._counters.put(counter, Counter(end, unit, used, held, claim.ceiling, _told(claim.marks)))
        return used, held + lent

    def look(self, counter: Counted) -> tuple[int, int]:
        found = self._counter(counter)
        return (found.used, found.held + self._lent_of(counter)) if found else (0, 0)

    def give(self, counter: Counted, used: int, freed: int) -> Stand:
        found = self._counter(counter)
        if found is None or found.held < freed:
            raise Misuse(f"{counter} does not hold {freed}")
        ceiling, marks = found.ceiling, found.marks
        after = min(found.used + used, INTEGER_MAX)
        left = Counter(found.window_end, found.unit, after, found.held - freed, ceiling, marks)
        self._counters.put(counter, left)
        return Stand(after, ceiling, marks)

    def renew(self, counter: Counted) -> None:
        found = self._counter(counter)
        if found is not None:
            self._counters.put(counter, replace(found, used=0))
        self._marks.put(counter, frozenset())
        self._renewed.put(counter, True)

    def first_told(self, counter: Counted, mark: int) -> bool:
        self._counter(counter)
        known = self._marks.get(counter, frozenset())
        if mark not in known:
            self._marks.put(counter, known | {mark})
        return mark not in known

    def _counter(self, counter: Counted) -> Counter | None:
        if counter not in self._counters:
            self._read_counters((counter,))
        return self._counters[counter]

    def _lent_of(self, _counter: Counted) -> int:
        """What is set aside of a counter, for whom it was lent to."""
        return 0

    # -- open calls ----------------------------------------------------------------------------------

    def find(self, call_id: str) -> Reservation | None:
        found = self._know_call(call_id)
        return found.of if found else None

    def open(self, row: Row, claims: Sequence[Entry]) -> None:
        seq = self.append(row).seq
        worst = row.usage
        if worst is None or row.nano_usd is None:
            raise AssertionError("a reservation says what it may come to")
        bounds = (worst.input, worst.output, row.nano_usd)
        of = Reservation(row.call_id, claims, row.identity, row.model, *bounds)
        self._calls.put(row.call_id, Opened(self.epoch, seq, row.entries, None, of))

    def widen(self, call_id: str, claims: str) -> None:
        found = self._know_call(call_id)
        if found is not None:
            wider = replace(found.of, claims=entries.load(claims))
            self._calls.put(call_id, replace(found, claims=claims, of=wider))

    def close(self, call_id: str) -> None:
        self._calls.put(call_id, None)

    def _know_call(self, call_id: str) -> Opened | None:
        if call_id not in self._calls:
            self._read_calls((call_id,))
        return self._calls.get(call_id)

    # -- to the database -----------------------------------------------------------------------------

    def flush(self) -> None:
        """Write all that changed since the last time."""
        raise NotImplementedError

    def _leave_memory(self) -> None:
        """What comes is done in the database itself."""
        self.flush()
        self._beyond = True
        self._counters.clear()
        self._marks.clear()

    def _begins_anew(self) -> None:
        """All is written, the request under way so far included."""
        self._log.clear()
        self._rows, self._roots, self._mark = [], [], Mark(self.link)

    def _notes_what_it_wrote(self) -> None:
        """Before a flush: whether anything of the request under way goes with it."""
        grown = len(self._log) > self._mark.changes or len(self._rows) > self._mark.rows
        self._beyond = self._beyond or grown


@lru_cache(maxsize=MARKS)
def _told(marks: tuple[int, ...]) -> str:
    """Marks as JSON."""
    return orjson.dumps(marks).decode()
