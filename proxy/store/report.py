"""What the ledger has to tell people: sums by tenant, model and upstream, and the last calls.

Reads beside a running proxy on a read-only connection, one short statement at a time, so that it
never holds up the writer or its checkpoints. `fallthrough usage` prints it.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import orjson
from msgspec import Struct

from proxy.place import Place
from proxy.store.reader import Reader, open_reader
from proxy.store.stub import BEGIN, DAY_US, read_past
from proxy.store.tables import Counted

# A fallback is an answer from another target than the first one tried: what failover bought. A first target
# that was shut was not tried, and nothing that is written says whether it could have answered.
MEASURES = """
tenant, model, coalesce(upstream, '-'), count(*),
    count(*) FILTER (WHERE result = 'ok'),
    count(*) FILTER (WHERE result <> 'ok'),
    count(*) FILTER (WHERE result = 'ok' AND (upstream <> attempts -> 0 ->> 'upstream'
        OR upstream_model <> attempts -> 0 ->> 'model')),
    count(*) FILTER (WHERE source = 'estimated' AND input_tokens + output_tokens > 0),
    CAST(sum(input_tokens) AS bigint), CAST(sum(cached_tokens) AS bigint),
    CAST(sum(cache_write_tokens) AS bigint), CAST(sum(output_tokens) AS bigint),
    CAST(sum(reasoning_tokens) AS bigint), CAST(sum(nano_usd) AS bigint)
"""

SETTLED = "kind IN ('commit', 'release', 'expire')"

ASKED = f"{SETTLED} AND seq > {BEGIN} AND (tenant = ?1 OR ?1 IS NULL) AND at_us >= ?2"

SUMS = f"SELECT {MEASURES} FROM rows WHERE {ASKED} GROUP BY 1, 2, 3"  # noqa: S608 - our own words

LAST = f"""
SELECT seq, kind, at_us, call_id, tenant, key_id, user_pseudonym, session_pseudonym, model, result,
    status, stream, upstream, upstream_model, input_tokens, output_tokens, source, nano_usd,
    first_ms, total_ms, attempts
FROM rows WHERE {ASKED} ORDER BY seq DESC LIMIT ?3
"""  # noqa: S608 - our own words

COUNTERS = """
SELECT scope, window_start, window_end, unit, used, held, ceiling FROM balances
WHERE window_end > ? ORDER BY scope, window_start
"""

STANDS = "SELECT used, held FROM balances WHERE scope = ? AND window_start = ?"

Key = tuple[str, str, str]
"""Tenant, model and who answered."""


class Sum(Struct, frozen=True):
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


class PastCall(Struct, frozen=True):
    """One settled call with its attempts, as its second row has it."""

    seq: int
    kind: str
    at_us: int
    call_id: str
    tenant: str
    key_id: str
    user_pseudonym: str | None
    session_pseudonym: str | None
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


class Counter(Struct, frozen=True):
    """One limit's counter in one window."""

    scope: str
    window: int
    window_end: int
    unit: str
    used: int
    held: int
    ceiling: int
    """As last claimed against."""


def counters(place: Place, *, now_us: int) -> tuple[Counter, ...]:
    """Every counter whose window is not over."""
    with _reading(place) as reader:
        return tuple(Counter(*row) for row in reader.select(COUNTERS, now_us // 1_000_000))


def stands(place: Place, counters: Iterable[Counted]) -> dict[Counted, tuple[int, int]]:
    """Used and held of each of these counters that anything was ever held in."""
    found: dict[Counted, tuple[int, int]] = {}
    with _reading(place) as reader:
        for counter in counters:
            for used, held in reader.select(STANDS, *counter):
                found[counter] = (used, held)
    return found


def sums(place: Place, *, tenant: str | None = None, since_us: int = 0) -> tuple[Sum, ...]:
    """Calls, tokens and money since a moment. Of pruned rows a UTC day counts if it began since then."""
    found: dict[Key, list[int]] = {}
    with _reading(place) as reader:
        reader.begin()  # what is pruned between the two would be counted twice, or not at all
        rows = list(reader.select(SUMS, tenant, since_us))
        for word, day, *told in read_past(reader):
            if word == "usage" and tenant in (None, told[0]) and day * DAY_US >= since_us:
                rows.append(tuple(told))
    for whose, model, upstream, *measures in rows:
        so_far = found.get((whose, model, upstream), [0] * len(measures))
        found[whose, model, upstream] = [one + more for one, more in zip(so_far, measures, strict=True)]
    return tuple(Sum(*key, *found[key]) for key in sorted(found))


def last_calls(
    place: Place, count: int, *, tenant: str | None = None, since_us: int = 0
) -> tuple[PastCall, ...]:
    """The most recent settled calls, the newest first."""
    with _reading(place) as reader:
        return tuple(map(_past, reader.select(LAST, tenant, since_us, count)))


def _past(row: tuple[Any, ...]) -> PastCall:
    values = (*row[:-1], tuple(orjson.loads(row[-1] or "[]")))
    return PastCall(*values)


@contextmanager
def _reading(place: Place) -> Iterator[Reader]:
    with closing(open_reader(place)) as reader:
        yield reader
