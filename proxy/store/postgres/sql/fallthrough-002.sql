-- Which questions were asked under an `idempotency-key`, so that none is paid for twice though another replica asked
-- it, or one that is gone. Digests only. Working state: not part of the chain, and forgotten after a day.
CREATE TABLE questions (
    name    bytea PRIMARY KEY,              -- SHA-256 over tenant and key
    digest  bytea NOT NULL,                 -- SHA-256 over what was asked
    call_id text COLLATE "C" NOT NULL,
    at_us   bigint NOT NULL
);

CREATE INDEX questions_by_age ON questions (at_us);
