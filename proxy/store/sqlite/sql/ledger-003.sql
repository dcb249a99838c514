-- Which questions were asked under an `idempotency-key`, so that none is paid for twice though the process that
-- asked it is gone. Digests only. Working state: not part of the chain, and forgotten after a day.
CREATE TABLE questions (
    name    BLOB PRIMARY KEY,               -- SHA-256 over tenant and key
    digest  BLOB NOT NULL,                  -- SHA-256 over what was asked
    call_id TEXT NOT NULL,
    at_us   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX questions_by_age ON questions (at_us);
