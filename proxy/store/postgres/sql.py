"""What is asked of PostgreSQL for a whole batch: arrays in, rows out, one journey each."""

from proxy.store.chain import COLUMNS

_RESERVATION = (
    "r.tenant, r.key_id, r.user_pseudonym, r.session_pseudonym, r.model,"
    " r.input_tokens, r.output_tokens, r.nano_usd"
)

CALLS = f"""
SELECT c.call_id, b.seq IS NOT NULL, o.epoch, o.seq, o.claims, o.seen, {_RESERVATION}
FROM unnest($1::text[]) AS c (call_id)
LEFT JOIN LATERAL (SELECT seq FROM rows WHERE call_id = c.call_id AND kind = 'reserve' LIMIT 1) AS b ON true
LEFT JOIN LATERAL (SELECT * FROM open_calls WHERE call_id = c.call_id LIMIT 1) AS o ON true
LEFT JOIN LATERAL (SELECT * FROM rows WHERE seq = o.seq LIMIT 1) AS r ON true
"""  # noqa: S608 - our own words
"""Calls by id: whether they were ever reserved, and what is open of them.

`LIMIT 1` keeps it to one look at an index for each: a server that knows nothing yet of the tables' sizes
would otherwise read all rows into a hash, in every batch until its next ANALYZE.
"""

LEFT = f"""
SELECT o.call_id, o.epoch, o.seq, o.claims, o.seen, {_RESERVATION}
FROM open_calls AS o JOIN rows AS r ON r.seq = o.seq
WHERE NOT EXISTS (SELECT 1 FROM replicas AS p WHERE p.epoch = o.epoch)
ORDER BY o.seq
"""  # noqa: S608
"""What nobody who lives has open."""

COUNTERS = """
SELECT c.scope, c.window_start, b.window_end, b.unit, b.used, b.held, b.ceiling, b.marks,
    ARRAY (SELECT a.mark FROM alerts AS a WHERE a.scope = c.scope AND a.window_start = c.window_start),
    (SELECT CAST(coalesce(sum(s.amount) FILTER (WHERE s.epoch = $3), 0) AS bigint) FROM slices AS s
        WHERE s.scope = c.scope AND s.window_start = c.window_start),
    (SELECT CAST(coalesce(sum(s.amount) FILTER (WHERE s.epoch <> $3), 0) AS bigint) FROM slices AS s
        WHERE s.scope = c.scope AND s.window_start = c.window_start)
FROM unnest($1::text[], $2::bigint[]) AS c (scope, window_start)
LEFT JOIN balances AS b ON b.scope = c.scope AND b.window_start = c.window_start
"""

MEMBERS = "SELECT hash FROM rows WHERE seq > $1 AND seq <= $2 ORDER BY seq"

NOTED = "SELECT 1 FROM rows WHERE call_id = $1 AND kind IN ('erase', 'reset', 'prune')"

IN_FORCE = """
SELECT window_start, unit, used FROM balances WHERE scope = ? AND window_end > ? ORDER BY window_start
"""

UNTELL = """
DELETE FROM alerts AS a USING unnest($1::text[], $2::bigint[]) AS r (scope, window_start)
WHERE a.scope = r.scope AND a.window_start = r.window_start
"""

TELL = (
    "INSERT INTO alerts SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) ON CONFLICT DO NOTHING"
)

_ROW_TYPES = (
    *("bigint",) * 3,
    *("text",) * 8,
    *("bigint", "bigint", "text", "text"),
    *("bigint",) * 5,
    *("text", "bigint", "bigint", "bigint", "json", "text", "text", "bytea", "bytea"),
)
"""Of `chain.COLUMNS`, and of the two hashes."""

_ROW_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_ROW_TYPES, 20))

FLUSH = f"""
WITH appended AS (
    INSERT INTO rows ({", ".join(COLUMNS)}, prev, hash) SELECT * FROM unnest({_ROW_ARRAYS})
), counters AS (
    INSERT INTO balances SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::bigint[], $4::text[],
        $5::bigint[], $6::bigint[], $7::bigint[], $8::text[]
    ) ON CONFLICT (scope, window_start) DO UPDATE SET
        used = excluded.used, held = excluded.held, ceiling = excluded.ceiling, marks = excluded.marks
), opened AS (
    INSERT INTO open_calls SELECT * FROM unnest(
        $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::text[]
    )
    ON CONFLICT (call_id) DO UPDATE SET claims = excluded.claims, seen = excluded.seen
), closed AS (
    DELETE FROM open_calls WHERE call_id = ANY($14::text[])
), noted AS (
    UPDATE open_calls AS o SET seen = n.seen FROM unnest($15::text[], $16::text[]) AS n (call_id, seen)
    WHERE o.call_id = n.call_id
), ended AS (
    UPDATE state SET seq = $17, hash = $18 WHERE seq <> $17
)
UPDATE replicas SET seen_at = clock_timestamp() WHERE epoch = $19
"""  # noqa: S608
"""Rows, counters, calls and the end as a batch leaves them; nothing changed: this replica was given up."""

WHISPER = """
UPDATE open_calls AS o SET seen = n.seen FROM unnest($1::text[], $2::text[]) AS n (call_id, seen)
WHERE o.call_id = n.call_id
"""

LEND = """
INSERT INTO slices SELECT l.scope, l.window_start, $1, l.amount
FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS l (scope, window_start, amount)
ON CONFLICT (scope, window_start, epoch) DO UPDATE SET amount = excluded.amount
"""

UNLEND = "DELETE FROM slices WHERE epoch = $1"

SPENT_SLICES = "DELETE FROM slices WHERE epoch = $1 AND amount = 0"

ORPHANED = """
SELECT s.epoch, s.scope, s.window_start, b.unit, s.amount
FROM slices AS s JOIN balances AS b ON b.scope = s.scope AND b.window_start = s.window_start
WHERE s.amount > 0 AND NOT EXISTS (SELECT 1 FROM replicas AS p WHERE p.epoch = s.epoch)
ORDER BY s.epoch, s.scope, s.window_start
"""
"""What dead replicas had borrowed: nobody knows how much of it was granted."""

ORPHANS_GO = "DELETE FROM slices AS s WHERE NOT EXISTS (SELECT 1 FROM replicas AS p WHERE p.epoch = s.epoch)"

JOIN = "UPDATE state SET epoch = epoch + 1 RETURNING epoch"

ENTER = "INSERT INTO replicas VALUES ($1, $2, clock_timestamp())"

BEAT = """
UPDATE replicas SET seen_at = clock_timestamp() WHERE epoch = $1
RETURNING CAST(extract(epoch FROM seen_at) AS double precision)
"""

SILENT = """
SELECT 1 FROM replicas WHERE seen_at < clock_timestamp() - make_interval(secs => $1) AND epoch <> $2
UNION ALL
SELECT 1 FROM open_calls AS o WHERE NOT EXISTS (SELECT 1 FROM replicas AS p WHERE p.epoch = o.epoch)
LIMIT 1
"""
"""Whether anybody is dead, or has gone and left something open."""

BURY = """
DELETE FROM replicas WHERE seen_at < clock_timestamp() - make_interval(secs => $1) AND epoch <> $2
"""

LEAVE = """
DELETE FROM replicas WHERE epoch = $1 AND NOT EXISTS (SELECT 1 FROM open_calls WHERE open_calls.epoch = $1)
"""
"""With calls open it stays, and is found silent by another who settles them."""

HEAD = "INSERT INTO heads VALUES ($1, $2) ON CONFLICT DO NOTHING"
