"""What each request of the story does to the ledger's tables: the only place that writes them.

Runs on the writer's thread inside the writer's transaction; knows no queue, no loop and no retry.
A reservation is never modified: everything that happens to it is a new row, and it is resolved once.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import apsw
import orjson

from proxy.ports import Alert, Balance, Claim, Granted, Hold, Progress, Settlement, Spent
from proxy.store import entries
from proxy.store.chain import Link
from proxy.store.entries import Entry
from proxy.store.fault import Misuse
from proxy.store.reservation import OPEN, Reservation, read
from proxy.store.rows import Row, append, last
from proxy.usage import Usage

CRASH_RESULT = "crash_settled"
DENIED_RESULT = "ledger_unavailable"

AMOUNT_MAX = 2**53
"""Charges saturate here, so that no sum of them can leave 64 bits."""

TOLD_MAX = 10_000
"""Alerts remembered to spare the file a question; the `alerts` table is the truth."""

# One statement admits: the row appears or grows only if the claim fits beneath the ceiling, or is a shadow.
TAKE = """
INSERT INTO balances (scope, window_start, window_end, unit, used, held, ceiling, marks)
SELECT ?1, ?2, ?3, ?4, 0, ?5, ?6, ?7 WHERE ?8 OR ?5 <= ?6
ON CONFLICT (scope, window_start) DO UPDATE
SET held = held + excluded.held, ceiling = excluded.ceiling, marks = excluded.marks
WHERE ?8 OR used + held + excluded.held <= excluded.ceiling
RETURNING used, held
"""

OPENED = "INSERT INTO open_calls (call_id, epoch, seq, claims) VALUES (?, ?, ?, ?)"

GIVE = """
UPDATE balances SET used = used + ?1, held = held - ?2 WHERE scope = ?3 AND window_start = ?4
RETURNING used, ceiling, marks
"""

RENEW = "UPDATE balances SET used = 0 WHERE scope = ? AND window_start = ?"

NOTED = "SELECT 1 FROM rows WHERE call_id = ? AND kind IN ('erase', 'reset', 'prune')"

LOOK = "SELECT used, held FROM balances WHERE scope = ? AND window_start = ?"

Result = Granted | Spent | None
"""Of a request that was carried out: granted, refused; None where there was nothing to ask."""

Answer = Result | Exception
"""What came of one request, or the defect of whoever asked."""

Work = Callable[["Journal"], Result]
"""One request, to be carried out on the writer's thread."""


class Journal:
    """The tables behind one connection, on behalf of one process's life (`epoch`)."""

    def __init__(self, connection: apsw.Connection, epoch: int) -> None:
        self.connection = connection
        self.alerts: list[Alert] = []
        """Raised by the transaction under way; the writer tells them once it is durable."""
        self.epoch = epoch
        self._told: set[tuple[str, int, int]] = set()
        self._link: Link | None = None
        """The chain's end within the transaction under way; None: ask the file."""

    def attempt(self, work: Work) -> Answer:
        """Do one request so that its failure leaves nothing behind and spares its neighbours.

        Trouble with the file itself is no request's own and passes through: it fails the batch.
        """
        told, link = len(self.alerts), self._link
        self.connection.execute("SAVEPOINT request")
        try:
            answer = work(self)
        except apsw.Error as error:
            if not isinstance(error, apsw.ConstraintError):
                raise
            return self._undo(error, told, link)
        except Exception as error:  # noqa: BLE001 - a defect in one request must not stop the only writer
            return self._undo(error, told, link)
        self.connection.execute("RELEASE request")
        return answer

    def reserve(self, hold: Hold) -> Granted | Spent:
        """Hold every claim or none."""
        claims = entries.dump(entries.of_claims(hold.claims))
        worst = Usage(hold.input_tokens, hold.output_tokens)
        row = Row(
            "reserve",
            hold.at_us,
            hold.call_id,
            hold.identity,
            hold.model,
            claims,
            worst,
            hold.nano_usd,
            consent=hold.consent,
        )
        taken = self._take(hold.claims)
        if isinstance(taken, Spent):
            self._tell_refusal(taken, row)
            return taken
        try:
            self._append(row)
        except apsw.ConstraintError as error:
            raise Misuse(f"{hold.call_id} was reserved before") from error
        seq = self.tail().seq
        opened = (hold.call_id, self.epoch, seq, claims)
        self.connection.execute(OPENED, opened)
        self._tell_shadows(taken, row)
        return taken

    def move(self, call_id: str, claims: tuple[Claim, ...], at_us: int) -> Granted | Spent:
        """Add claims to an open reservation, all or none; a row of its own, so that a replay agrees."""
        held = self._find(call_id)
        if held is None:
            raise Misuse(f"{call_id} is not open, so nothing can be added to it")
        added = entries.of_claims(claims)
        row = Row("move", at_us, call_id, held.identity, held.model, entries.dump(added))
        taken = self._take(claims)
        if isinstance(taken, Spent):
            self._tell_refusal(taken, row)
            return taken
        self._append(row)
        both = entries.dump([*held.claims, *added])
        self.connection.execute("UPDATE open_calls SET claims = ? WHERE call_id = ?", (both, call_id))
        self._tell_shadows(taken, row)
        return taken

    def settle(self, kind: str, settlement: Settlement) -> None:
        """Resolve a reservation as `commit` or `release`.

        One that was resolved before keeps its first outcome; for one that was never granted there
        is nothing to free. Neither is a fault: a caller who hung up releases without knowing.
        """
        outcome = settlement.outcome
        held = self._find(outcome.call_id)
        if held is None:
            return
        charged = {(charge.scope, charge.window): charge.amount for charge in settlement.charges}
        row = Row(
            kind=kind,
            at_us=settlement.ended_us,
            call_id=outcome.call_id,
            identity=held.identity,
            model=held.model,
            entries="[]",
            usage=outcome.usage,
            nano_usd=outcome.nano_usd,
            result=outcome.result,
            status=outcome.status,
            stream=outcome.stream,
            upstream=outcome.upstream,
            upstream_model=outcome.upstream_model,
            first_ms=outcome.first_ms,
            total_ms=outcome.total_ms,
            attempts=entries.dump_attempts(outcome.attempts),
        )
        self._resolve(held, row, charged)

    def void(self, call_id: str, at_us: int) -> None:
        """Free a reservation whose caller was told 503, should it have reached the disk after all."""
        held = self._find(call_id)
        if held is not None:
            row = Row("release", at_us, call_id, held.identity, held.model, "[]", Usage(), 0, DENIED_RESULT)
            self._resolve(held, row, {})

    def expire(self, at_us: int) -> int:
        """Settle what dead processes left open, before anything new is admitted; how many there were.

        A call whose progress was noted comes to that, as observed. Of the others nobody saw how far they
        got: their prompts surely went out, so the upper bound of the input is charged, as an estimate.
        """
        left = self.connection.execute(f"{OPEN} WHERE o.epoch < ? ORDER BY o.seq", (self.epoch,)).fetchall()
        for held in map(read, left):
            seen = held.progress()
            charged = {(charge.scope, charge.window): charge.amount for charge in seen.charges}
            row = Row(
                kind="expire",
                at_us=at_us,
                call_id=held.call_id,
                identity=held.identity,
                model=held.model,
                entries="[]",
                usage=seen.usage,
                nano_usd=max(0, seen.nano_usd),
                result=CRASH_RESULT,
                upstream=seen.upstream or None,
                upstream_model=seen.upstream_model or None,
            )
            self._resolve(held, row, charged)
        return len(left)

    def progressed(self, progress: Progress) -> None:
        """Remember how far a call has got; nothing, if it is settled already."""
        seen = (entries.dump_progress(progress), progress.call_id)
        self.connection.execute("UPDATE open_calls SET seen = ? WHERE call_id = ?", seen)

    def note(self, row: Row) -> bool:
        """Append the row of an act, once; False if it is there: somebody was killed before the answer."""
        if self.connection.execute(NOTED, (row.call_id,)).fetchone() is not None:
            return False
        self._append(row)
        return True

    def renew(self, scope: str, window: int) -> None:
        """Set a counter back to nothing; its marks are told again."""
        self.connection.execute(RENEW, (scope, window))
        self.connection.execute("DELETE FROM alerts WHERE scope = ? AND window_start = ?", (scope, window))
        self._told.clear()

    def touch(self) -> None:
        """Write something that changes nothing, to learn whether the disk takes writes again."""
        self.connection.execute("UPDATE state SET epoch = epoch")

    def forget(self) -> None:
        """The transaction was undone, and what it said of alerts with it."""
        self.alerts.clear()
        self._told.clear()
        self._link = None

    def tail(self) -> Link:
        """The last row, those of the transaction under way included."""
        if self._link is None:
            self._link = last(self.connection)
        return self._link

    def begin(self) -> Link:
        """Open the writer's transaction; where the chain ends, as the file has it."""
        self.connection.execute("BEGIN IMMEDIATE")
        self._link = None
        return self.tail()

    def _append(self, row: Row) -> None:
        self._link = append(self.connection, self.tail(), self.epoch, row)

    def _undo(self, error: Exception, told: int, link: Link | None) -> Exception:
        self.connection.execute("ROLLBACK TO request")
        self.connection.execute("RELEASE request")
        del self.alerts[told:]
        self._told.clear()
        self._link = link
        return error

    def _find(self, call_id: str) -> Reservation | None:
        found = self.connection.execute(f"{OPEN} WHERE o.call_id = ?", (call_id,)).fetchone()
        return None if found is None else read(found)

    def _take(self, claims: tuple[Claim, ...]) -> Granted | Spent:
        balances: list[Balance] = []
        for claim in claims:
            if claim.amount < 0:
                raise Misuse(f"a claim on {claim.scope} is negative")
            marks = orjson.dumps(claim.marks).decode()
            start, end, held = claim.window, claim.window_end, claim.amount
            asked = (claim.scope, start, end, claim.unit, held, claim.ceiling, marks, claim.shadow)
            found: list[tuple[Any, ...]] = self.connection.execute(TAKE, asked).fetchall()
            if not found:
                for taken in balances:
                    self._give(taken.claim.scope, taken.claim.window, 0, taken.claim.amount)
                looked = self.connection.execute(LOOK, (claim.scope, claim.window)).fetchone()
                used, held = looked or (0, 0)
                return Spent(claim, used, held)
            balances.append(Balance(claim, *found[0]))
        return Granted(tuple(balances))

    def _give(self, scope: str, window: int, used: int, freed: int) -> tuple[int, int, str]:
        row: tuple[Any, ...] = self.connection.execute(GIVE, (used, freed, scope, window)).fetchall()[0]
        return row[0], row[1], row[2]

    def _resolve(self, held: Reservation, row: Row, charged: dict[tuple[str, int], int]) -> None:
        """Turn what is held into what was used, and append the one row that says so.

        More than was held is an overdraft: recorded, never refused. What has no charge is freed.
        """
        entered: list[Entry] = []
        crossed: list[Alert] = []
        for claim in held.summed():
            amount = min(max(charged.get(claim.counter, 0), 0), AMOUNT_MAX)
            used, ceiling, marks = self._give(claim.scope, claim.window, amount, claim.amount)
            entered.append(Entry(claim.scope, claim.window, claim.unit, amount))
            crossed += [
                Alert(claim.scope, claim.window, mark, used, ceiling, claim.unit)
                for mark in sorted({*orjson.loads(marks), 100})
                if amount and used * 100 >= mark * ceiling
            ]
        self._append(replace(row, entries=entries.dump(entered)))
        self.connection.execute("DELETE FROM open_calls WHERE call_id = ?", (row.call_id,))
        for alert in crossed:
            self._tell(alert, row)

    def _tell_refusal(self, spent: Spent, row: Row) -> None:
        # A counter also counts as spent once what was *used* leaves no room for a call, however
        # much is held besides: few calls end on the ceiling exactly, and their callers are refused.
        claim = spent.claim
        if claim.amount <= claim.ceiling < spent.used + claim.amount:
            self._tell(Alert(claim.scope, claim.window, 100, spent.used, claim.ceiling, claim.unit), row)

    def _tell_shadows(self, taken: Granted, row: Row) -> None:
        for balance in taken.balances:
            if balance.claim.shadow and balance.over:
                self._tell_refusal(Spent(balance.claim, balance.used, balance.held), row)

    def _tell(self, alert: Alert, cause: Row) -> None:
        key = (alert.scope, alert.window, alert.mark)
        if key in self._told:
            return
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told.add(key)
        self.connection.execute("INSERT OR IGNORE INTO alerts VALUES (?, ?, ?)", key)
        if self.connection.changes() == 0:
            return
        entry = [[alert.scope, alert.window, alert.unit, alert.used, alert.mark, alert.ceiling]]
        text = orjson.dumps(entry).decode()
        row = Row("alert", cause.at_us, cause.call_id, cause.identity, cause.model, text)
        self._append(row)
        self.alerts.append(alert)
