"""One audit row: its columns, and the one place that appends it to the chain.

There is no column that a prompt or an answer could be put in, and no statement here or elsewhere
that changes a row once it is written (triggers in the schema refuse it too). What a row commits to
is what stands in it: a pseudonym, never an id, so that destroying a subject's key breaks no hash.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import apsw

from proxy.call import Identity
from proxy.store.chain import COLUMNS, GENESIS, SEGMENT_ROWS, Link, Value, leaf, segment_root
from proxy.usage import Usage

_NAMES = ", ".join((*COLUMNS, "prev", "hash"))

APPEND = f"INSERT INTO rows ({_NAMES}) VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"  # noqa: S608 - our own names

MEMBERS = "SELECT hash FROM rows WHERE seq > ? ORDER BY seq"

CONSENT: Mapping[bool | None, str | None] = {True: "given", False: "withheld", None: None}

LAST = "SELECT seq, hash FROM rows ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Row:
    """What is written; the writer adds its epoch and SQLite the next number."""

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


def last(connection: apsw.Connection) -> Link:
    """Where the chain ends, as the file has it."""
    found = connection.execute(LAST).fetchone()
    return GENESIS if found is None else Link(*found)


def append(connection: apsw.Connection, after: Link, epoch: int, row: Row) -> Link:
    """Write a row, chained to the one before; the root too where it is the last of a segment."""
    seq = after.seq + 1
    values = _values(seq, epoch, row)
    link = Link(seq, leaf(after.hash, values))
    connection.execute(APPEND, (*values, after.hash, link.hash))
    if seq % SEGMENT_ROWS == 0:
        members: Iterable[tuple[bytes]] = connection.execute(MEMBERS, (seq - SEGMENT_ROWS,))
        root = segment_root([own for (own,) in members])
        connection.execute("INSERT INTO segments VALUES (?, ?)", (seq // SEGMENT_ROWS, root))
    return link


def _values(seq: int, epoch: int, row: Row) -> tuple[Value, ...]:
    """In the order of `COLUMNS`."""
    who = row.identity
    stream = None if row.stream is None else int(row.stream)
    return (
        *(seq, row.at_us, epoch, row.kind, row.call_id),
        *(who.tenant, who.key_id, who.user, row.model, row.entries),
        *(row.result, row.status, stream, row.upstream, row.upstream_model),
        *_counts(row.usage),
        *(row.nano_usd, row.first_ms, row.total_ms, row.attempts, CONSENT[row.consent]),
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
        usage.source.value,
    )
