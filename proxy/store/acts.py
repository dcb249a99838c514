"""What people do to the ledger, each with the audit row that says who did it and when.

`ledger.py` submits these to the writer; each runs in the writer's transaction and is harmless if it
is asked for again after a kill. An act's row stands in the chain like a call's: `call_id` is the
act's id, `key_id` who asked.
"""

from proxy.call import Identity
from proxy.ports import Act
from proxy.store.journal import Journal
from proxy.store.rows import Row

NOBODY = "-"
"""Where an act has no tenant or model."""


def note_erasure(journal: Journal, act: Act, tenant: str) -> None:
    """A person of a tenant was erased. No id, no pseudonym: with the day of the act it would name them."""
    journal.note(row_of("erase", act, tenant))


def row_of(kind: str, act: Act, tenant: str = NOBODY, entries: str = "[]") -> Row:
    return Row(kind, act.at_us, act.id, Identity(tenant, act.who), NOBODY, entries)
