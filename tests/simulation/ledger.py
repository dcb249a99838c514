"""A model of the ledger: sums in memory, rows that become durable a little later, and what a crash leaves.

It outlives the lives of a world. A crash drops the rows that were not on the disk yet, adds the sums up anew
from those that were, and settles what they leave open, as the real one does.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from proxy.call import Billed
from proxy.errors import unavailable
from proxy.holds import Balance, Claim, Granted, Hold, Progress, Settlement, Spent
from proxy.table import Unit
from tests.simulation.trace import Trace
from tests.simulation.visits import VISIT, Life

FLUSH_S = (0.0, 0.0, 0.004, 0.02)
DOWN = 0.02
"""How often nothing can be reserved."""

Key = tuple[str, int]


@dataclass(slots=True)
class Row:
    """One thing written down."""

    kind: str
    call_id: str
    amounts: dict[Key, int]
    """What it holds, or for a settlement what it charges."""
    durable: asyncio.Future | None = None


@dataclass(slots=True)
class ModelLedger:
    """What is on the disk, and what is on its way there."""

    trace: Trace
    dice: random.Random
    early: bool
    """A grant is told before it is on the disk, with the promise of it beside."""
    used: Counter = field(default_factory=Counter)
    held: Counter = field(default_factory=Counter)
    open: dict[str, list[Claim]] = field(default_factory=dict)
    noted: dict[str, Progress] = field(default_factory=dict)
    resolved: Counter = field(default_factory=Counter)
    """How often each granted hold was resolved."""
    granted: set[str] = field(default_factory=set)
    _rows: list[Row] = field(default_factory=list)
    _flushed: int = 0

    def reserve(self, hold: Hold) -> Granted | Spent:
        """Hold every claim or none."""
        self.trace.demand(hold.call_id not in self.granted, "a call is reserved once", hold.call_id)
        answer = self._take(hold.call_id, hold.claims)
        if isinstance(answer, Granted):
            self.open[hold.call_id] = list(hold.claims)
            self.granted.add(hold.call_id)
            self._append("reserve", hold.call_id, hold.claims)
        return answer

    def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        """Add claims to an open reservation."""
        self.trace.demand(call_id in self.open, "only an open reservation is added to", call_id)
        answer = self._take(call_id, claims)
        if isinstance(answer, Granted):
            self.open[call_id] += claims
            self._append("move", call_id, claims)
        return answer

    def settle(self, kind: str, settlement: Settlement) -> asyncio.Future:
        """Resolve a reservation; for one that was never granted there is nothing to free."""
        outcome = settlement.outcome
        claims = self.open.pop(outcome.call_id, None)
        if claims is None:
            once = outcome.call_id not in self.granted
            self.trace.demand(once, "every hold is resolved once, not twice:", outcome.call_id)
            return self._append("nothing", outcome.call_id, ())
        charges = {(one.scope, one.window): one.amount for one in settlement.charges}
        self.resolved[outcome.call_id] += 1
        for claim in claims:
            self.held[claim.counter] -= claim.amount
            charge = charges.get(claim.counter, 0)
            self.used[claim.counter] += charge
            self._is_right(kind, claim, charge, settlement)
        maybe = any(one.billed is not Billed.NO for one in outcome.attempts)
        kept = (kind == "commit") is maybe
        self.trace.demand(kept, "what may be billed is committed, and nothing else:", outcome.call_id)
        row = self._append(kind, outcome.call_id, ())
        self._rows[-1].amounts = charges
        return row

    def _is_right(self, kind: str, claim: Claim, charge: int, settlement: Settlement) -> None:
        """No more than was held, and what the attempts came to."""
        outcome, trace = settlement.outcome, self.trace
        trace.demand(charge <= claim.amount, "no limit is overshot", claim.scope, charge, claim.amount)
        trace.demand(kind == "commit" or not charge, "what is released is not charged", outcome.call_id)
        mine = [one for one in outcome.attempts if claim.upstream in (None, one.upstream) and one.usage]
        tokens = sum(one.usage.total for one in mine)
        right = {Unit.TOKENS: tokens, Unit.STREAMS: 0, Unit.REQUESTS: int(bool(mine))}.get(claim.unit, charge)
        trace.demand(charge == right, "charged is what was used", claim.scope, charge, right, outcome.call_id)

    def _take(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        for claim in claims:
            used, held = self.used[claim.counter], self.held[claim.counter]
            if used + held + claim.amount > claim.ceiling:
                self.trace.say("spent", call_id, claim.scope)
                return Spent(claim, used, held)
        balances = []
        for claim in claims:
            self.held[claim.counter] += claim.amount
            balances.append(Balance(claim, self.used[claim.counter], self.held[claim.counter]))
        return Granted(tuple(balances))

    def _append(self, kind: str, call_id: str, claims: tuple[Claim, ...]) -> asyncio.Future:
        loop = asyncio.get_running_loop()
        row = Row(kind, call_id, {claim.counter: claim.amount for claim in claims}, loop.create_future())
        self._rows.append(row)
        if len(self._rows) - self._flushed == 1:
            loop.call_later(self.dice.choice(FLUSH_S), self._flush)
        return row.durable

    def last(self) -> asyncio.Future:
        """Done when all that was written so far is on the disk."""
        return self._rows[-1].durable

    def is_durable(self, call_id: str) -> bool:
        """Whether a crash now would leave the reservation of this call."""
        return any(row.call_id == call_id and row.kind == "reserve" for row in self._rows[: self._flushed])

    def _flush(self) -> None:
        for row in self._rows[self._flushed :]:
            if not row.durable.done():
                row.durable.set_result(None)
        self._flushed = len(self._rows)

    def crash(self) -> None:
        """Lose what was not on the disk, add up anew, and settle what is left open."""
        del self._rows[self._flushed :]
        self.used.clear()
        self.held.clear()
        left: dict[str, Counter] = {}
        for row in self._rows:
            if row.kind in ("reserve", "move"):
                left.setdefault(row.call_id, Counter()).update(row.amounts)
            elif row.kind in ("commit", "release", "expire"):
                left.pop(row.call_id)
                self.used.update(row.amounts)
        for call_id, amounts in left.items():
            seen = self.noted.get(call_id)
            charges = {(one.scope, one.window): one.amount for one in seen.charges} if seen else {}
            known = {key: charges.get(key, 0) for key in amounts}
            self.used.update(known)
            self._rows.append(Row("expire", call_id, known))
        self.resolved = Counter(
            row.call_id for row in self._rows if row.kind in ("commit", "release", "expire")
        )
        self.granted = {row.call_id for row in self._rows if row.kind == "reserve"}
        self.open.clear()
        self._flushed = len(self._rows)
        self.trace.say("recovered", len(left), "left open")

    def at_rest(self) -> None:
        """Nobody calls: nothing is held, and every hold was resolved once."""
        demand = self.trace.demand
        demand(not self.open, "no hold is left open:", *self.open)
        demand(not any(self.held.values()), "nothing is held at rest:", self.held)
        wrong = [one for one in self.granted if self.resolved[one] != 1]
        demand(not wrong, "every hold is resolved once:", *wrong)


@dataclass(frozen=True, slots=True)
class LedgerDoor:
    """The Ledger port of one life: once that has ended, nothing of it arrives any more."""

    ledger: ModelLedger
    life: Life

    async def reserve(self, hold: Hold) -> Granted | Spent:
        ledger = self.ledger
        if self.life.dead:
            raise asyncio.CancelledError
        if ledger.dice.random() < DOWN:
            VISIT.get().refused = True
            ledger.trace.say("refused", hold.call_id, "ledger_unavailable")
            raise unavailable("The ledger cannot be written.", "ledger_unavailable")
        answer = ledger.reserve(hold)
        ledger.trace.say("held" if isinstance(answer, Granted) else "not held", hold.call_id)
        if isinstance(answer, Granted) and ledger.early:
            return Granted(answer.balances, ledger.last())
        if isinstance(answer, Granted):
            await asyncio.shield(ledger.last())
        else:
            await asyncio.sleep(0)
        return answer

    async def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        if self.life.dead:
            raise asyncio.CancelledError
        answer = self.ledger.move(call_id, claims)
        if isinstance(answer, Granted):
            await asyncio.shield(self.ledger.last())
        return answer

    def commit(self, settlement: Settlement) -> asyncio.Future:
        return self._settle("commit", settlement)

    def release(self, settlement: Settlement) -> asyncio.Future:
        return self._settle("release", settlement)

    def _settle(self, kind: str, settlement: Settlement) -> asyncio.Future:
        if self.life.dead:
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        self.ledger.trace.say(kind, settlement.outcome.call_id, settlement.outcome.result)
        return self.ledger.settle(kind, settlement)

    def note(self, progress: Progress) -> None:
        if self.life.dead:
            return
        open_ = progress.call_id in self.ledger.open
        self.ledger.trace.demand(open_, "progress is noted of open calls only", progress.call_id)
        self.ledger.noted[progress.call_id] = progress
