-- Caller keys, end persons and letters: the tables of proxy/store/sqlite/sql/keys-*.sql under the same names, and what
-- many replicas need beside them. In a schema of their own, because a backup of them brings back whom the law had
-- erased (docs/operating.md).

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

-- Counts the changes to keys: what every replica asks for twice a second.
CREATE TABLE changes (
    id      bigint PRIMARY KEY CHECK (id = 1),
    version bigint NOT NULL
);

INSERT INTO changes VALUES (1, 0);

CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE fallthrough_keys.changes SET version = version + 1; RETURN NULL; END $$;

CREATE TRIGGER keys_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON keys
    FOR EACH STATEMENT EXECUTE FUNCTION count_change();

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

-- Statistics are samples of what stands in a table, kept elsewhere: an erasure would not reach them.
ALTER TABLE subjects ALTER COLUMN digest SET STATISTICS 0;
ALTER TABLE subjects ALTER COLUMN key SET STATISTICS 0;
ALTER TABLE letters ALTER COLUMN detail SET STATISTICS 0;

-- Processes that remember end persons. Each says every two seconds that it lives; an erasure waits for all of them.
CREATE TABLE readers (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seen_at timestamptz NOT NULL          -- by this server's clock, the only one that all of them share
) WITH (fillfactor = 50);

-- Which of them have let go of whom a letter is about.
CREATE TABLE marks (
    letter text COLLATE "C" NOT NULL,
    reader bigint NOT NULL REFERENCES readers (id) ON DELETE CASCADE,
    PRIMARY KEY (letter, reader)
);
