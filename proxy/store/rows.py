"""One audit row, and the columns that it becomes.

There is no column that a prompt or an answer could be put in, and no statement in any store that changes
a row once it is written (triggers in the schemas refuse it too). What a row commits to is what stands in
it: a pseudonym, never an id, so that destroying a subject's key breaks no hash.
"""

from collections.abc import Mapping

from msgspec import Struct

from proxy.call import Identity
from proxy.store.chain import Value
from proxy.usage import Usage

CONSENT: Mapping[bool | None, str | None] = {True: "given", False: "withheld", None: None}


class Row(Struct, frozen=True):
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


_UNCOUNTED = (None,) * 6


def values_of(seq: int, epoch: int, row: Row) -> tuple[Value, ...]:
    """A row as what its hash covers: in the order of `chain.COLUMNS`."""
    who, usage, stream = row.identity, row.usage, row.stream
    input_, output, cached, cache_write, reasoning, source = (
        _UNCOUNTED
        if usage is None
        else (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning, str(usage.source))
    )
    return (  # one display, without unpacking: it is made for every row
        seq,
        row.at_us,
        epoch,
        row.kind,
        row.call_id,
        who.tenant,
        who.key_id,
        who.user,
        row.model,
        row.entries,
        row.result,
        row.status,
        None if stream is None else int(stream),
        row.upstream,
        row.upstream_model,
        input_,
        output,
        cached,
        cache_write,
        reasoning,
        source,
        row.nano_usd,
        row.first_ms,
        row.total_ms,
        row.attempts,
        CONSENT[row.consent],
        who.session,
    )
