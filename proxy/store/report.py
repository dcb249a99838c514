"""What the ledger has to tell people: sums by tenant, model and upstream, and the last calls.

Reads beside a running proxy on a read-only connection, one short statement at a time, so that it
never holds up the writer or its checkpoints. `fallthrough usage` prints it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import orjson

from proxy.store.database import RESTORE, open_reader
from proxy.store.fault import StoreRefused

# A fallback is an answer from another target than the first one tried: what failover bought.
SUMS = """
SELECT tenant, model, coalesce(upstream, '-'), count(*),
    sum(result = 'ok'),
    sum(result <> 'ok'),
    sum(result = 'ok' AND (upstream <> json_extract(attempts, '$[0].upstream')
        OR upstream_model <> json_extract(attempts, '$[0].model'))),
    sum(source = 'estimated' AND input_tokens + output_tokens > 0),
    sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(nano_usd)
FROM rows
WHERE kind IN ('commit', 'release', 'expire') AND (?1 IS NULL OR tenant = ?1) AND at_us >= ?2
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

LAST = """
SELECT seq, kind, at_us, call_id, tenant, key_id, user_pseudonym, model, result, status, stream,
    upstream, upstream_model, input_tokens, output_tokens, source, nano_usd, first_ms, total_ms, attempts
FROM rows
WHERE kind IN ('commit', 'release', 'expire') AND (?1 IS NULL OR tenant = ?1) AND at_us >= ?2
ORDER BY seq DESC LIMIT ?3
"""


@dataclass(frozen=True, slots=True)
class Sum:
    """What one tenant had of one model from one upstream (`-`: nobody answered)."""

    tenant: str
    model: str
    upstream: str
    calls: int
    ok: int
    failed: int
    """Everything that did not end `ok`, hang-ups included."""
    fallbacks: int
    """Answered, but not by the first target tried."""
    estimated: int
    """Charged by estimate, because nobody reported."""
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    nano_usd: int


@dataclass(frozen=True, slots=True)
class PastCall:
    """One settled call with its attempts, as its second row has it."""

    seq: int
    kind: str
    at_us: int
    call_id: str
    tenant: str
    key_id: str
    user_pseudonym: str | None
    model: str
    result: str
    status: int | None
    stream: int | None
    upstream: str | None
    upstream_model: str | None
    input_tokens: int
    output_tokens: int
    source: str
    nano_usd: int
    first_ms: int | None
    total_ms: int | None
    attempts: tuple[dict[str, Any], ...]


def sums(path: Path, *, tenant: str | None = None, since_us: int = 0) -> tuple[Sum, ...]:
    """Calls, tokens and money since a moment."""
    with _reading(path) as connection:
        found: list[tuple[Any, ...]] = connection.execute(SUMS, (tenant, since_us)).fetchall()
    return tuple(Sum(*row) for row in found)


def last_calls(
    path: Path, count: int, *, tenant: str | None = None, since_us: int = 0
) -> tuple[PastCall, ...]:
    """The most recent settled calls, the newest first."""
    with _reading(path) as connection:
        found: list[tuple[Any, ...]] = connection.execute(LAST, (tenant, since_us, count)).fetchall()
    return tuple(map(_past, found))


def _past(row: tuple[Any, ...]) -> PastCall:
    values = (*row[:-1], tuple(orjson.loads(row[-1] or "[]")))
    return PastCall(*values)


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    connection = open_reader(path)
    try:
        yield connection
    except apsw.Error as error:
        raise StoreRefused(path, f"SQLite cannot read it ({error})", RESTORE) from error
    finally:
        connection.close(True)
