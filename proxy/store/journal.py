"""What each request of the story comes to in the ledger's tables: the rules, whatever database is beneath.

Runs on the writer's thread inside the writer's transaction; knows no queue, no loop, no retry and no SQL.
A reservation is never modified: everything that happens to it is a new row, and it is resolved once.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import orjson
from msgspec import Struct

from proxy.call import Identity
from proxy.holds import Alert, Balance, Claim, Granted, Hold, Progress, Settlement, Spent
from proxy.question import Question, Repeated
from proxy.store import entries
from proxy.store.entries import Entry
from proxy.store.fault import Misuse
from proxy.store.reservation import Reservation
from proxy.store.rows import Row
from proxy.store.tables import ASKED_US, Asked, Counted, Stand, Tables
from proxy.usage import Usage

CRASH_RESULT = "crash_settled"
DENIED_RESULT = "ledger_unavailable"

AMOUNT_MAX = 2**53
"""Charges saturate here, so that no sum of them can leave 64 bits."""

Result = Granted | Spent | Repeated
"""What comes of a reservation that was asked for."""

T = TypeVar("T")

Work = Callable[["Journal"], object]
"""One request, to be carried out on the writer's thread. Whoever asked knows what comes of it."""


class _Paid(Struct, frozen=True):
    """What became of the claims of a reservation that ended."""

    text: str
    """As its row says it."""
    crossed: Sequence[Alert]


class Journal:
    """The rules over one store's tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.alerts: list[Alert] = []
        """Raised by the transaction under way; the writer tells them once it is durable."""

    def attempt(self, work: Callable[["Journal"], T]) -> T | Exception:
        """Do one request so that its failure leaves nothing behind and spares its neighbours.

        What comes of it, or the defect of whoever asked.

        Trouble with the database itself is no request's own and passes through: it fails the batch.
        """
        told = len(self.alerts)
        self.tables.savepoint()
        try:
            answer = work(self)
        except Exception as error:
            if self.tables.fatal(error):
                raise
            self.tables.undo()
            del self.alerts[told:]
            return error
        return answer

    def reserve(self, hold: Hold) -> Granted | Spent | Repeated:
        """Hold every claim or none; nothing where its question was asked before."""
        if hold.question is not None:
            known = self.tables.asked(hold.question.name)
            if known is not None and known.at_us > hold.at_us - ASKED_US:
                return Repeated(known.digest == hold.question.digest)
        held = entries.of_claims(hold.claims)
        row = _reserving(hold, held)
        taken = self._take(hold.claims)
        if isinstance(taken, Spent):
            self._tell_refusal(taken, row)
            return taken
        self.tables.open(row, held)
        if hold.question is not None:
            asked = Asked(hold.question.digest, hold.call_id, hold.at_us)
            self.tables.ask(hold.question.name, asked)
        self._tell_shadows(taken, row)
        return taken

    def record(self, hold: Hold) -> None:
        """Write down a reservation whose claims are held already."""
        held = entries.of_claims(hold.claims)
        self.tables.open(_reserving(hold, held), held)

    def burn(self, name: str, lost: Sequence[Entry], at_us: int) -> None:
        """Count as used what a dead replica had set aside and may have granted; it is held already."""
        nobody = Identity("-", "-")
        text = entries.dump(lost)
        row = Row("reserve", at_us, name, nobody, "-", text, Usage(), 0)
        self.tables.open(row, lost)
        held = Reservation(name, lost, nobody, "-", 0, 0, 0)
        paid = self._pay(held, {each.counter: each.amount for each in lost})
        self._resolve(Row("expire", at_us, name, nobody, "-", paid.text, Usage(), 0, CRASH_RESULT), paid)

    def move(self, call_id: str, claims: tuple[Claim, ...], at_us: int) -> Granted | Spent:
        """Add claims to an open reservation, all or none; a row of its own, so that a replay agrees."""
        held = self.tables.find(call_id)
        if held is None:
            raise Misuse(f"{call_id} is not open, so nothing can be added to it")
        added = entries.of_claims(claims)
        row = Row("move", at_us, call_id, held.identity, held.model, entries.dump(added))
        taken = self._take(claims)
        if isinstance(taken, Spent):
            self._tell_refusal(taken, row)
            return taken
        self.tables.append(row)
        both = entries.dump([*held.claims, *added])
        self.tables.widen(call_id, both)
        self._tell_shadows(taken, row)
        return taken

    def settle(self, kind: str, settlement: Settlement) -> None:
        """Resolve a reservation as `commit` or `release`.

        One that was resolved before keeps its first outcome; for one that was never granted there
        is nothing to free. Neither is a fault: a caller who hung up releases without knowing.
        """
        outcome = settlement.outcome
        held = self.tables.find(outcome.call_id)
        if held is None:
            return
        paid = self._pay(
            held, {(charge.scope, charge.window): charge.amount for charge in settlement.charges}
        )
        row = Row(
            kind=kind,
            at_us=settlement.ended_us,
            call_id=outcome.call_id,
            identity=held.identity,
            model=held.model,
            entries=paid.text,
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
        self._resolve(row, paid)
        if kind == "release":
            self._free(settlement.question, outcome.call_id)

    def void(self, hold: Hold) -> None:
        """Free a reservation whose caller was told 503, should it have reached the disk after all."""
        held = self.tables.find(hold.call_id)
        if held is not None:
            paid, who, model = self._pay(held, {}), held.identity, held.model
            row = Row("release", hold.at_us, hold.call_id, who, model, paid.text, Usage(), 0, DENIED_RESULT)
            self._resolve(row, paid)
            self._free(hold.question, hold.call_id)

    def expire(self, at_us: int) -> int:
        """Settle what dead processes left open, before anything new is admitted; how many there were.

        A call whose progress was noted comes to that, as observed. Of the others nobody saw how far they
        got: their prompts surely went out, so the upper bound of the input is charged, as an estimate.
        """
        left = self.tables.left()
        for held in left:
            seen = held.progress()
            paid = self._pay(held, {(charge.scope, charge.window): charge.amount for charge in seen.charges})
            row = Row(
                kind="expire",
                at_us=at_us,
                call_id=held.call_id,
                identity=held.identity,
                model=held.model,
                entries=paid.text,
                usage=seen.usage,
                nano_usd=max(0, seen.nano_usd),
                result=CRASH_RESULT,
                upstream=seen.upstream or None,
                upstream_model=seen.upstream_model or None,
            )
            self._resolve(row, paid)
        return len(left)

    def progressed(self, progress: Progress) -> None:
        """Remember how far a call has got; nothing, if it is settled already."""
        self.tables.saw(progress.call_id, entries.dump_progress(progress))

    def note(self, row: Row) -> bool:
        """Append the row of an act, once; False if it is there: somebody was killed before the answer."""
        if self.tables.noted(row.call_id):
            return False
        self.tables.append(row)
        return True

    def renew(self, counter: Counted) -> None:
        """Set a counter back to nothing; its marks are told again."""
        self.tables.renew(counter)

    def touch(self) -> None:
        """Write something that changes nothing, to learn whether the database takes writes again."""
        self.tables.touch()

    def forget(self) -> None:
        """The transaction was undone, and what it said of alerts with it."""
        self.alerts.clear()

    def _free(self, question: Question | None, call_id: str) -> None:
        """Nothing can have been spent on a question: it may be asked anew."""
        if question is not None:
            known = self.tables.asked(question.name)
            if known is not None and known.call_id == call_id:
                self.tables.ask(question.name, None)

    def _take(self, claims: tuple[Claim, ...]) -> Granted | Spent:
        balances: list[Balance] = []
        for claim in claims:
            if claim.amount < 0:
                raise Misuse(f"a claim on {claim.scope} is negative")
            found = self.tables.take(claim)
            if found is None:
                for taken in balances:
                    self.tables.give(taken.claim.counter, 0, taken.claim.amount)
                return Spent(claim, *self.tables.look(claim.counter))
            balances.append(Balance(claim, *found))
        return Granted(tuple(balances))

    def _pay(self, held: Reservation, charged: Mapping[Counted, int]) -> _Paid:
        """Turn what is held into what was used.

        More than was held is an overdraft: recorded, never refused. What has no charge is freed.
        """
        entered: list[Entry] = []
        crossed: list[Alert] = []
        for claim in held.summed():
            counter = (claim.scope, claim.window)
            amount = charged.get(counter, 0)
            if not 0 <= amount <= AMOUNT_MAX:
                amount = min(max(amount, 0), AMOUNT_MAX)
            stand = self.tables.give(counter, amount, claim.amount)
            entered.append(Entry(claim.scope, claim.window, claim.unit, amount))
            if amount:
                crossed += _crossed(claim, stand)
        return _Paid(entries.dump(entered), crossed)

    def _resolve(self, row: Row, paid: _Paid) -> None:
        """Append the one row that says what came of a reservation, and tell the marks that this crossed."""
        self.tables.append(row)
        self.tables.close(row.call_id)
        for alert in paid.crossed:
            self._tell(alert, row)

    def _tell_refusal(self, spent: Spent, row: Row) -> None:
        if spent.exhausted:
            claim = spent.claim
            self._tell(Alert(claim.scope, claim.window, 100, spent.used, claim.ceiling, claim.unit), row)

    def _tell_shadows(self, taken: Granted, row: Row) -> None:
        for balance in taken.balances:
            if balance.claim.shadow and balance.over:
                self._tell_refusal(Spent(balance.claim, balance.used, balance.held), row)

    def _tell(self, alert: Alert, cause: Row) -> None:
        if not self.tables.first_told((alert.scope, alert.window), alert.mark):
            return
        entry = [[alert.scope, alert.window, alert.unit, alert.used, alert.mark, alert.ceiling]]
        text = orjson.dumps(entry).decode()
        row = Row("alert", cause.at_us, cause.call_id, cause.identity, cause.model, text)
        self.tables.append(row)
        self.alerts.append(alert)


def _crossed(claim: Entry, stand: Stand) -> Sequence[Alert]:
    """The marks of a counter that are reached, told before or not."""
    used, ceiling = stand.used, stand.ceiling
    rising = _rising(stand.marks)
    if used * 100 < rising[0] * ceiling:
        return ()
    reached = [mark for mark in rising if used * 100 >= mark * ceiling]
    return [Alert(claim.scope, claim.window, mark, used, ceiling, claim.unit) for mark in reached]


@lru_cache(maxsize=1024)
def _rising(marks: str) -> tuple[int, ...]:
    """The marks of a counter from the lowest on; its ceiling is always one."""
    return tuple(sorted({*orjson.loads(marks), 100}))


def _reserving(hold: Hold, held: Sequence[Entry]) -> Row:
    return Row(
        kind="reserve",
        at_us=hold.at_us,
        call_id=hold.call_id,
        identity=hold.identity,
        model=hold.model,
        entries=entries.dump(held),
        usage=Usage(hold.input_tokens, hold.output_tokens),
        nano_usd=hold.nano_usd,
        consent=hold.consent,
    )
