"""The keys of end persons in PostgreSQL, as `subjects.py` asks for them from a thread of its own.

Two replicas that meet a person at once make one key: the second insert waits for the first and does
nothing, and both read what stands. Digests go in order, so that two batches cannot wait for each other.
"""

import secrets
from collections.abc import Mapping

from proxy.place import Database
from proxy.store.postgres.database import FAILURES, KEYS, words_of
from proxy.store.postgres.lease import Lease
from proxy.store.postgres.session import Session
from proxy.store.subjects import KEY_BYTES, NotNoted

FIND = "SELECT digest, key FROM subjects WHERE digest = ANY($1::bytea[])"

MAKE = """
INSERT INTO subjects SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING
"""


class SharedRegister:
    """`subjects.Register` over one database."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._session: Session | None = None

    @property
    def era(self) -> int | None:
        return self._lease.era

    def keys_of(self, digests: tuple[bytes, ...]) -> Mapping[bytes, bytes]:
        fresh = self._session is None
        try:
            return self._found_or_made(digests)
        except FAILURES as error:
            self.part()
            if fresh:
                raise NotNoted(words_of(error)) from error
        # One that lay idle may be dead without anybody's knowing: that says nothing of the server.
        return self.keys_of(digests)

    def part(self) -> None:
        """Close the connection; one that failed is not trusted, the next batch opens another."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _found_or_made(self, digests: tuple[bytes, ...]) -> dict[bytes, bytes]:
        session = self._session = self._session or Session(self._database, KEYS)
        keys = dict(session.fetch(FIND, list(digests)))
        missing = sorted(set(digests) - keys.keys())
        if missing:
            session.execute(MAKE, missing, [secrets.token_bytes(KEY_BYTES) for _ in missing])
            # Read back: another replica may have been first.
            keys |= dict(session.fetch(FIND, missing))
        return keys
