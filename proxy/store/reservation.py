"""An open reservation as the file has it, and the rule for one whose process died.

Read by `journal.py`; pure apart from the shape of its one query.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from proxy.call import Identity
from proxy.holds import Charge, Progress
from proxy.store import entries
from proxy.store.entries import Entry
from proxy.table import Unit
from proxy.usage import Usage

OPEN = """
SELECT o.epoch, o.seq, o.call_id, o.claims, r.tenant, r.key_id, r.user_pseudonym, r.session_pseudonym,
    r.model, r.input_tokens, r.output_tokens, r.nano_usd, o.seen
FROM open_calls AS o JOIN rows AS r ON r.seq = o.seq
"""


class Reservation(Struct, frozen=True):
    """What a call holds, and who it is for."""

    call_id: str
    claims: Sequence[Entry]
    identity: Identity
    model: str
    input_tokens: int
    output_tokens: int
    nano_usd: int
    seen: str | None = None
    """How far the call had got when that was last noted (`entries.py`)."""

    def summed(self) -> Sequence[Entry]:
        """One entry a counter, even if a counter was claimed twice."""
        if len(self.claims) == 1:
            return self.claims
        sums: dict[tuple[str, int], Entry] = {}
        for claim in self.claims:
            before = sums[claim.counter].amount if claim.counter in sums else 0
            sums[claim.counter] = Entry(claim.scope, claim.window, claim.unit, before + claim.amount)
        return list(sums.values())

    def progress(self) -> Progress:
        """What the call comes to if its process died: what was noted, else what its prompt may have cost."""
        if self.seen is not None:
            return entries.load_progress(self.call_id, self.seen)
        share = tuple(
            Charge(claim.scope, claim.window, self._prompt_share(claim.unit, claim.amount))
            for claim in self.summed()
        )
        cost = self._part_of_money(self.nano_usd)
        return Progress(self.call_id, Usage(self.input_tokens), cost, "", "", share)

    def _prompt_share(self, unit: Unit, amount: int) -> int:
        """What the prompt alone comes to, at most, of `amount` held for the whole call."""
        if unit is Unit.STREAMS:
            return 0  # a dead process runs no call
        if unit is Unit.REQUESTS:
            return amount
        if unit is Unit.TOKENS:
            return min(amount, self.input_tokens)
        return self._part_of_money(amount)

    def _part_of_money(self, amount: int) -> int:
        # By share of tokens, rounded up: no less than the prompt's price wherever output is at
        # least as dear as input, and the prices of that day are not kept here.
        total = self.input_tokens + self.output_tokens
        return amount if total == 0 else -(-amount * self.input_tokens // total)


def read(found: Sequence[Any]) -> Reservation:
    """A row of the query `OPEN`, from its call on."""
    call_id, claims, tenant, key_id, user, session, model, *worst_and_seen = found
    identity = Identity(tenant, key_id, user, session)
    return Reservation(call_id, entries.load(claims), identity, model, *worst_and_seen)
