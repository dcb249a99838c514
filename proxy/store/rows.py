"""One audit row: its columns, and the one statement that appends it.

There is no column that a prompt or an answer could be put in, and no statement here or elsewhere
that changes a row once it is written (triggers in the schema refuse it too).
"""

from dataclasses import dataclass

import apsw

from proxy.call import Identity
from proxy.usage import Usage

APPEND = """
INSERT INTO rows (kind, at_us, epoch, call_id, tenant, key_id, user_pseudonym, model, entries,
    input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, source, nano_usd,
    result, status, stream, upstream, upstream_model, first_ms, total_ms, attempts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What is written; the writer adds its epoch and SQLite the next number."""

    kind: str
    """`reserve`, `move`, `commit`, `release`, `expire` or `alert`."""
    at_us: int
    call_id: str
    """For an alert: the call that crossed the mark."""
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


def append(connection: apsw.Connection, epoch: int, row: Row) -> None:
    who = row.identity
    connection.execute(
        APPEND,
        (
            *(
                row.kind,
                row.at_us,
                epoch,
                row.call_id,
                who.tenant,
                who.key_id,
                who.user,
                row.model,
                row.entries,
            ),
            *_counts(row.usage),
            *(row.nano_usd, row.result, row.status, row.stream, row.upstream, row.upstream_model),
            *(row.first_ms, row.total_ms, row.attempts),
        ),
    )


def _counts(usage: Usage | None) -> tuple[int | str | None, ...]:
    if usage is None:
        return (None,) * 6
    return (
        usage.input,
        usage.output,
        usage.cached,
        usage.cache_write,
        usage.reasoning,
        usage.source.value,
    )
