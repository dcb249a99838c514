-- End persons, each with a random key of its own: whoever is erased loses it, and nothing else changes.

CREATE TABLE subjects (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),   -- HMAC of tenant and id: finds a person, tells none
    key    BLOB NOT NULL CHECK (length(key) = 32)          -- what the pseudonym in the ledger is made from
) STRICT, WITHOUT ROWID;

-- One key for all of them could not be destroyed for one. Rows written with it are nobody's from here on.
DELETE FROM secrets WHERE name = 'pseudonym';
