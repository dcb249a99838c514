-- The ledger as first released. Migrations only go forward: a change is a new file with the next number.

CREATE TABLE state (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL              -- counts the processes that have owned this file
) STRICT;

INSERT INTO state VALUES (1, 0);

-- What happened, in order; never changed, and removed only by whole segments from the beginning, which
-- the stub then stands for. Content-free: there is no column that a
-- prompt or an answer could be put in. Each row is chained to the one before (proxy/store/chain.py).
CREATE TABLE rows (
    seq                INTEGER PRIMARY KEY,   -- contiguous, from 1 or the stub's last: only one writer
    at_us              INTEGER NOT NULL,      -- wall time, Unix microseconds, as the story told it
    epoch              INTEGER NOT NULL,
    kind               TEXT NOT NULL CHECK (kind IN
        ('reserve', 'move', 'commit', 'release', 'expire', 'alert', 'erase', 'reset', 'prune')),
    call_id            TEXT NOT NULL,         -- of an act of people (the last three kinds) its own name
    tenant             TEXT NOT NULL,         -- '-' where it is no one's, like model
    key_id             TEXT NOT NULL,         -- of an act: who did it
    user_pseudonym     TEXT,
    model              TEXT NOT NULL,
    entries            TEXT NOT NULL,         -- JSON [[scope, window_start, unit, amount], ...]; in an alert also mark and ceiling
    result             TEXT,
    status             INTEGER,
    stream             INTEGER,
    upstream           TEXT,
    upstream_model     TEXT,
    input_tokens       INTEGER,               -- in a reservation these are the worst case held
    output_tokens      INTEGER,
    cached_tokens      INTEGER,
    cache_write_tokens INTEGER,
    reasoning_tokens   INTEGER,
    source             TEXT CHECK (source IN ('reported', 'observed', 'estimated')),
    nano_usd           INTEGER CHECK (nano_usd >= 0),
    first_ms           INTEGER,
    total_ms           INTEGER,
    attempts           TEXT,                  -- JSON; only in the row that settles
    consent            TEXT CHECK (consent IN ('given', 'withheld')),   -- only in a reservation; NULL: nothing was said
    prev               BLOB NOT NULL,         -- hash of row seq - 1, zeros before the first
    hash               BLOB NOT NULL CHECK (length(hash) = 32)   -- SHA-256 over prev and every column above
) STRICT;

CREATE UNIQUE INDEX rows_reserved_once ON rows (call_id) WHERE kind = 'reserve';
CREATE UNIQUE INDEX rows_resolved_once ON rows (call_id) WHERE kind IN ('commit', 'release', 'expire');
CREATE UNIQUE INDEX rows_noted_once ON rows (call_id) WHERE kind IN ('erase', 'reset', 'prune');

CREATE TRIGGER rows_never_change BEFORE UPDATE ON rows
BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END;

-- What retention took away, with the state that the rows after it begin from (proxy/store/stub.py).
CREATE TABLE stub (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    size      INTEGER NOT NULL,               -- rows 1 to this are gone, or going
    hash      BLOB NOT NULL CHECK (length(hash) = 32),   -- of the last of them
    root      BLOB NOT NULL CHECK (length(root) = 32),   -- Merkle root over their segments, whose own roots stay
    before_us INTEGER NOT NULL,               -- all of them were older
    at_us     INTEGER NOT NULL,
    digest    BLOB NOT NULL CHECK (length(digest) = 32), -- SHA-256 over `past`
    key_id    TEXT,
    signature TEXT                            -- Ed25519, over all of the above
) STRICT;

CREATE TABLE past (
    line INTEGER PRIMARY KEY,
    what TEXT NOT NULL                        -- JSON: a sum, or a call that was open, as of row `size`
) STRICT;

CREATE TRIGGER rows_never_go BEFORE DELETE ON rows
WHEN OLD.seq > (SELECT coalesce(max(size), 0) FROM stub)
BEGIN SELECT RAISE(ABORT, 'audit rows are deleted only where a stub stands for them'); END;

-- The Merkle root over the hashes of 1024 rows, written with the last of them; never changed.
CREATE TABLE segments (
    number INTEGER PRIMARY KEY,               -- from 1: rows (number - 1) * 1024 + 1 to number * 1024
    root   BLOB NOT NULL CHECK (length(root) = 32)
) STRICT;

CREATE TRIGGER segments_never_change BEFORE UPDATE ON segments
BEGIN SELECT RAISE(ABORT, 'segment roots are never changed'); END;

CREATE TRIGGER segments_never_go BEFORE DELETE ON segments
BEGIN SELECT RAISE(ABORT, 'segment roots are never deleted'); END;

-- Working state: the sums of the rows, kept current in the same transaction.
CREATE TABLE balances (
    scope        TEXT NOT NULL,
    window_start INTEGER NOT NULL,            -- Unix seconds; kept after the window ended, so that no clock refunds it
    window_end   INTEGER NOT NULL,
    unit         TEXT NOT NULL,
    used         INTEGER NOT NULL CHECK (used >= 0),
    held         INTEGER NOT NULL CHECK (held >= 0),
    ceiling      INTEGER NOT NULL CHECK (ceiling >= 0),   -- as last claimed against
    marks        TEXT NOT NULL,               -- JSON [percent, ...]
    PRIMARY KEY (scope, window_start)
) STRICT, WITHOUT ROWID;

CREATE TABLE open_calls (
    call_id TEXT PRIMARY KEY,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL REFERENCES rows (seq),
    claims  TEXT NOT NULL                     -- JSON like rows.entries: what settling must free
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts (
    scope        TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    mark         INTEGER NOT NULL,
    PRIMARY KEY (scope, window_start, mark)
) STRICT, WITHOUT ROWID;
