-- The ledger as first released: the tables of proxy/store/sqlite/sql/ under the same names, so that one report,
-- one replay and one verifier read both. Migrations only go forward: a change is a new file with the next number.

-- One row, which whoever appends locks first: batches of all replicas stand in one line, as their rows do.
CREATE TABLE state (
    id    bigint PRIMARY KEY CHECK (id = 1),
    epoch bigint NOT NULL,              -- counts the processes that have joined
    seq   bigint NOT NULL,              -- where the chain ends
    hash  bytea  NOT NULL CHECK (length(hash) = 32)
);

INSERT INTO state VALUES (1, 0, 0, decode(repeat('00', 32), 'hex'));

-- Who takes part. One that has not been heard of for a while is dead: what it left open is settled by another.
CREATE TABLE replicas (
    epoch   bigint PRIMARY KEY,
    name    text COLLATE "C" NOT NULL,
    seen_at timestamptz NOT NULL        -- by this server's clock, the only one that all of them share
);

-- What happened, in order; never changed, and removed only by whole segments from the beginning, which the stub
-- then stands for. Content-free: there is no column that a prompt or an answer could be put in. Each row is
-- chained to the one before (proxy/store/chain.py).
CREATE TABLE rows (
    seq                bigint PRIMARY KEY,
    at_us              bigint NOT NULL,
    epoch              bigint NOT NULL,
    kind               text COLLATE "C" NOT NULL CHECK (kind IN
        ('reserve', 'move', 'commit', 'release', 'expire', 'alert', 'erase', 'reset', 'prune')),
    call_id            text COLLATE "C" NOT NULL,
    tenant             text COLLATE "C" NOT NULL,
    key_id             text COLLATE "C" NOT NULL,
    user_pseudonym     text COLLATE "C",
    model              text COLLATE "C" NOT NULL,
    entries            text COLLATE "C" NOT NULL,
    result             text COLLATE "C",
    status             bigint,
    stream             bigint,
    upstream           text COLLATE "C",
    upstream_model     text COLLATE "C",
    input_tokens       bigint,
    output_tokens      bigint,
    cached_tokens      bigint,
    cache_write_tokens bigint,
    reasoning_tokens   bigint,
    source             text COLLATE "C" CHECK (source IN ('reported', 'observed', 'estimated')),
    nano_usd           bigint CHECK (nano_usd >= 0),
    first_ms           bigint,
    total_ms           bigint,
    attempts           json,            -- not jsonb: the text must stay what was hashed
    consent            text COLLATE "C" CHECK (consent IN ('given', 'withheld')),
    prev               bytea NOT NULL,
    hash               bytea NOT NULL CHECK (length(hash) = 32)
);

CREATE UNIQUE INDEX rows_reserved_once ON rows (call_id) WHERE kind = 'reserve';
CREATE UNIQUE INDEX rows_resolved_once ON rows (call_id) WHERE kind IN ('commit', 'release', 'expire');
CREATE UNIQUE INDEX rows_noted_once ON rows (call_id) WHERE kind IN ('erase', 'reset', 'prune');

-- What retention took away, with the state that the rows after it begin from (proxy/store/stub.py).
CREATE TABLE stub (
    id        bigint PRIMARY KEY CHECK (id = 1),
    size      bigint NOT NULL,
    hash      bytea  NOT NULL CHECK (length(hash) = 32),
    root      bytea  NOT NULL CHECK (length(root) = 32),
    before_us bigint NOT NULL,
    at_us     bigint NOT NULL,
    digest    bytea  NOT NULL CHECK (length(digest) = 32),
    key_id    text COLLATE "C",
    signature text COLLATE "C"
);

CREATE TABLE past (
    line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what text COLLATE "C" NOT NULL
);

-- The Merkle root over the hashes of 1024 rows, written with the last of them; never changed.
CREATE TABLE segments (
    number bigint PRIMARY KEY,
    root   bytea NOT NULL CHECK (length(root) = 32)
);

-- How far the chain reached, and when: a line of JSON each (proxy/store/heads.py), told to every replica's log too.
CREATE TABLE heads (
    size bigint PRIMARY KEY,
    line text COLLATE "C" NOT NULL
);

CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% of % is never allowed', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;

CREATE FUNCTION only_beneath_the_stub() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.seq > (SELECT coalesce(max(size), 0) FROM fallthrough.stub) THEN
        RAISE EXCEPTION 'audit rows are deleted only where a stub stands for them' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER rows_never_change BEFORE UPDATE ON rows FOR EACH ROW EXECUTE FUNCTION never();
CREATE TRIGGER rows_never_go BEFORE DELETE ON rows FOR EACH ROW EXECUTE FUNCTION only_beneath_the_stub();
CREATE TRIGGER rows_never_vanish BEFORE TRUNCATE ON rows FOR EACH STATEMENT EXECUTE FUNCTION never();
CREATE TRIGGER segments_never_change BEFORE UPDATE OR DELETE ON segments FOR EACH ROW EXECUTE FUNCTION never();
CREATE TRIGGER segments_never_vanish BEFORE TRUNCATE ON segments FOR EACH STATEMENT EXECUTE FUNCTION never();

-- Working state: the sums of the rows, kept current in the same transaction.
CREATE TABLE balances (
    scope        text COLLATE "C" NOT NULL,
    window_start bigint NOT NULL,
    window_end   bigint NOT NULL,
    unit         text COLLATE "C" NOT NULL,
    used         bigint NOT NULL CHECK (used >= 0),
    held         bigint NOT NULL CHECK (held >= 0),
    ceiling      bigint NOT NULL CHECK (ceiling >= 0),
    marks        text COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, window_start)
) WITH (fillfactor = 50);               -- room for the next version of a row that changes with every batch

-- What replicas have set aside of a counter, to grant from without asking (proxy/store/postgres/slices.py).
CREATE TABLE slices (
    scope        text COLLATE "C" NOT NULL,
    window_start bigint NOT NULL,
    epoch        bigint NOT NULL,       -- whose
    amount       bigint NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (scope, window_start, epoch)
) WITH (fillfactor = 50);

CREATE TABLE open_calls (
    call_id text COLLATE "C" PRIMARY KEY,
    epoch   bigint NOT NULL,
    seq     bigint NOT NULL REFERENCES rows (seq),
    claims  text COLLATE "C" NOT NULL,
    seen    text COLLATE "C"
);

CREATE TABLE alerts (
    scope        text COLLATE "C" NOT NULL,
    window_start bigint NOT NULL,
    mark         bigint NOT NULL,
    PRIMARY KEY (scope, window_start, mark)
);
