"""What people do to the ledger, each with the audit row that says who did it and when.

`ledger.py` submits these to the writer; each runs in the writer's transaction and is harmless if it
is asked for again after a kill. An act's row stands in the chain like a call's: `call_id` is the
act's id, `key_id` who asked.
"""

from proxy.call import Identity
from proxy.ports import Act, Declined, Reset
from proxy.store import entries
from proxy.store.entries import Entry
from proxy.store.journal import Journal
from proxy.store.rows import Row

NOBODY = "-"
"""Where an act has no tenant or model."""


def note_erasure(journal: Journal, act: Act, tenant: str) -> None:
    """A person of a tenant was erased. No id, no pseudonym: with the day of the act it would name them."""
    journal.note(row_of("erase", act, tenant))


def reset(journal: Journal, act: Act, scope: str) -> tuple[Reset, ...]:
    """Set a counter back to nothing in every window that is not over; the row says from what."""
    found = journal.tables.in_force(scope, act.at_us // 1_000_000)
    if not found:
        raise Declined(f"no counter in force is named {scope}; see `fallthrough limits list`")
    taken = entries.dump([Entry(scope, window, unit, -used) for window, unit, used in found])
    if journal.note(row_of("reset", act, told=taken)):
        for window, _, _ in found:
            journal.renew((scope, window))
    return tuple(Reset(scope, window, used) for window, _, used in found)


def row_of(kind: str, act: Act, tenant: str = NOBODY, *, told: str = "[]") -> Row:
    """An act as a row of the chain; `told` is what its entries say."""
    return Row(kind, act.at_us, act.id, Identity(tenant, act.who), NOBODY, told)
