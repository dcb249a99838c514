-- Caller keys, end persons and letters: the tables of proxy/store/sqlite/sql/keys-*.sql under the same names. In a
-- schema of their own, because a backup of them brings back whom the law had erased (docs/operating.md).

CREATE TABLE secrets (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

-- Only digests: a key itself is shown once and kept nowhere.
CREATE TABLE keys (
    key_id     text COLLATE "C" PRIMARY KEY,
    digest     bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    tenant     text COLLATE "C" NOT NULL,
    name       text NOT NULL,
    created_us bigint NOT NULL,
    expires_us bigint,
    revoked_us bigint
);

-- End persons, each with a random key of its own: whoever is erased loses it, and nothing else changes.
CREATE TABLE subjects (
    digest bytea PRIMARY KEY CHECK (length(digest) = 32),  -- HMAC of tenant and id: finds a person, tells none
    key    bytea NOT NULL CHECK (length(key) = 32)         -- what the pseudonym in the ledger is made from
);

-- What the command line asks of the replicas; a line lives for as long as that takes.
CREATE TABLE letters (
    id     text COLLATE "C" PRIMARY KEY,  -- names the audit row too, so that none is written twice
    at_us  bigint NOT NULL,
    who    text NOT NULL,                 -- who asks
    kind   text COLLATE "C" NOT NULL,
    detail text NOT NULL,                 -- JSON; emptied with the answer
    answer text                           -- JSON; NULL: not done yet
);
