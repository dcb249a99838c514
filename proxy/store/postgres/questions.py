"""Questions that were asked under an `idempotency-key`, as one transaction of PostgreSQL knows them.

`tables.py` has them read with a batch and written with it. A batch without such a call asks nothing.
"""

from collections.abc import Iterable

from proxy.store.cells import Cells, Log
from proxy.store.postgres.session import Session
from proxy.store.tables import ASKED_US, TIDIED, Asked

READ = "SELECT name, digest, call_id, at_us FROM questions WHERE name = ANY($1::bytea[])"

WRITE = """
INSERT INTO questions SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bigint[])
ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, call_id = excluded.call_id, at_us = excluded.at_us
"""

FORGET = "DELETE FROM questions WHERE name = ANY($1::bytea[])"

TIDY = """
DELETE FROM questions WHERE name IN (SELECT name FROM questions WHERE at_us <= $1 ORDER BY at_us LIMIT $2)
"""


class Questions:
    """The table `questions` within one transaction."""

    def __init__(self, session: Session, log: Log) -> None:
        self._session = session
        self._cells: Cells[bytes, Asked | None] = Cells(log)

    def read(self, names: Iterable[bytes]) -> None:
        """Take in what is known of these, in one journey, unless it is known already."""
        missing = sorted({each for each in names if each not in self._cells})
        if missing:
            self._cells.update(dict.fromkeys(missing))
            self._cells.update({name: Asked(*rest) for name, *rest in self._session.fetch(READ, missing)})

    def find(self, name: bytes) -> Asked | None:
        """The call that was made for one."""
        self.read((name,))
        return self._cells[name]

    def put(self, name: bytes, asked: Asked | None) -> None:
        """A call is made for one, or came to nothing."""
        self.read((name,))
        self._cells.put(name, asked)

    def flush(self) -> None:
        """Write what changed, and forget as many again that are too old."""
        changes = self._cells.take_changes()
        asked = [(name, *each) for name, each in changes.items() if each is not None]
        if asked:
            self._session.execute(WRITE, *zip(*asked, strict=True))
            newest = max(at_us for *_, at_us in asked)
            self._session.execute(TIDY, newest - ASKED_US, TIDIED * len(asked))
        if len(asked) < len(changes):
            self._session.execute(FORGET, [name for name, each in changes.items() if each is None])
