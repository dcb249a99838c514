"""An open reservation as the file has it, and the rule for one whose process died.

Read by `journal.py`; pure apart from the shape of its one query.
"""

from dataclasses import dataclass
from typing import Any

from proxy.call import Identity
from proxy.store import entries
from proxy.store.entries import Entry
from proxy.table import Unit

OPEN = """
SELECT o.call_id, o.claims, r.tenant, r.key_id, r.user_pseudonym, r.model, r.input_tokens,
    r.output_tokens, r.nano_usd
FROM open_calls AS o JOIN rows AS r ON r.seq = o.seq
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a call holds, and who it is for."""

    call_id: str
    claims: list[Entry]
    identity: Identity
    model: str
    input_tokens: int
    output_tokens: int
    nano_usd: int

    def summed(self) -> list[Entry]:
        """One entry a counter, even if a counter was claimed twice."""
        sums: dict[tuple[str, int], Entry] = {}
        for claim in self.claims:
            before = sums[claim.counter].amount if claim.counter in sums else 0
            sums[claim.counter] = Entry(claim.scope, claim.window, claim.unit, before + claim.amount)
        return list(sums.values())

    def prompt_share(self, unit: Unit, amount: int) -> int:
        """What the prompt alone comes to, at most, of `amount` held for the whole call."""
        if unit is Unit.STREAMS:
            return 0  # a dead process runs no call
        if unit is Unit.REQUESTS:
            return amount
        if unit is Unit.TOKENS:
            return min(amount, self.input_tokens)
        return self._part_of_money(amount)

    def prompt_cost(self) -> int:
        return self._part_of_money(self.nano_usd)

    def _part_of_money(self, amount: int) -> int:
        # By share of tokens, rounded up: no less than the prompt's price wherever output is at
        # least as dear as input, and the prices of that day are not kept here.
        total = self.input_tokens + self.output_tokens
        return amount if total == 0 else -(-amount * self.input_tokens // total)


def read(found: tuple[Any, ...]) -> Reservation:
    """A row of the query `OPEN`."""
    call_id, claims, tenant, key_id, user, model, input_tokens, output_tokens, nano_usd = found
    identity = Identity(tenant, key_id, user)
    return Reservation(call_id, entries.load(claims), identity, model, input_tokens, output_tokens, nano_usd)
