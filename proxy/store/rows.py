"""One audit row, and the columns that it becomes.

There is no column that a prompt or an answer could be put in, and no statement in any store that changes
a row once it is written (triggers in the schemas refuse it too). What a row commits to is what stands in
it: a pseudonym, never an id, so that destroying a subject's key breaks no hash.
"""

from collections.abc import Mapping
from typing import NamedTuple

from proxy.call import Identity
from proxy.store.chain import Value
from proxy.usage import Usage

CONSENT: Mapping[bool | None, str | None] = {True: "given", False: "withheld", None: None}


class Row(NamedTuple):
    """What is written; its store adds the epoch and the next number."""

    kind: str
    """`reserve`, `move`, `commit`, `release`, `expire`, `alert`; of acts `erase`, `reset`, `prune`."""
    at_us: int
    call_id: str
    """For an alert: the call that crossed the mark; for an act: its id."""
    identity: Identity
    model: str
    entries: str
    """JSON, see `entries.py`."""
    usage: Usage | None = None
    """Worst case in a reservation, what was used in a settlement."""
    nano_usd: int | None = None
    result: str | None = None
    status: int | None = None
    stream: bool | None = None
    upstream: str | None = None
    upstream_model: str | None = None
    first_ms: int | None = None
    total_ms: int | None = None
    attempts: str | None = None
    """JSON, only in a settlement."""
    consent: bool | None = None
    """Only in a reservation; None: nothing was said."""


def values_of(seq: int, epoch: int, row: Row) -> tuple[Value, ...]:
    """A row as what its hash covers: in the order of `chain.COLUMNS`."""
    who = row.identity
    stream = None if row.stream is None else int(row.stream)
    return (
        *(seq, row.at_us, epoch, row.kind, row.call_id),
        *(who.tenant, who.key_id, who.user, row.model, row.entries),
        *(row.result, row.status, stream, row.upstream, row.upstream_model),
        *_counts(row.usage),
        *(row.nano_usd, row.first_ms, row.total_ms, row.attempts, CONSENT[row.consent], who.session),
    )


def _counts(usage: Usage | None) -> tuple[Value, ...]:
    if usage is None:
        return (None,) * 6
    return (
        usage.input,
        usage.output,
        usage.cached,
        usage.cache_write,
        usage.reasoning,
        str(usage.source),
    )
