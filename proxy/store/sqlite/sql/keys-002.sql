-- End persons, each with a random key of its own: whoever is erased loses it, and nothing else changes.

CREATE TABLE subjects (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),   -- HMAC of tenant and id: finds a person, tells none
    key    BLOB NOT NULL CHECK (length(key) = 32)          -- what the pseudonym in the ledger is made from
) STRICT, WITHOUT ROWID;

-- One key for all of them could not be destroyed for one. Rows written with it are nobody's from here on.
DELETE FROM secrets WHERE name = 'pseudonym';

-- What the command line asks of whoever owns the ledger; a line lives for as long as that takes.
CREATE TABLE letters (
    id     TEXT PRIMARY KEY,              -- names the audit row too, so that none is written twice
    at_us  INTEGER NOT NULL,
    who    TEXT NOT NULL,                 -- who asks
    kind   TEXT NOT NULL,
    detail TEXT NOT NULL,                 -- JSON; emptied with the answer
    answer TEXT                           -- JSON; NULL: not done yet
) STRICT, WITHOUT ROWID;
