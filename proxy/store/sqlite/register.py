"""The keys of end persons in `keys.db`, as `subjects.py` asks for them from a thread of its own."""

import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from proxy.store.sqlite.keyfile import connect, unreadable
from proxy.store.subjects import KEY_BYTES, NotNoted, digest_of, pseudonym_of


class FileRegister:
    """`subjects.Register` over one key file."""

    era = 0
    """One proxy owns the ledger and erases whom it remembers itself: what was read stays true."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def keys_of(self, digests: tuple[bytes, ...]) -> Mapping[bytes, bytes]:
        try:
            return self._found_or_made(digests)
        except sqlite3.Error as error:
            self.part()
            raise NotNoted(str(error)) from error

    def part(self) -> None:
        """Close the connection; one that failed is not trusted, the next batch opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _found_or_made(self, digests: tuple[bytes, ...]) -> dict[bytes, bytes]:
        connection = self._connection = self._connection or connect(self._path)
        keys = {digest: self._key(connection, digest) for digest in digests}
        missing = [digest for digest, key in keys.items() if key is None]
        if missing:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR IGNORE INTO subjects VALUES (?, ?)",
                [(digest, secrets.token_bytes(KEY_BYTES)) for digest in missing],
            )
            # Read back: another process may have been first.
            keys |= {digest: self._key(connection, digest) for digest in missing}
            connection.execute("COMMIT")
        return {digest: key for digest, key in keys.items() if key is not None}

    def _key(self, connection: sqlite3.Connection, digest: bytes) -> bytes | None:
        row = connection.execute("SELECT key FROM subjects WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])


def find_pseudonym(path: Path, tenant: str, user: str) -> str | None:
    """The pseudonym of a person, for who only reads the file; None: nobody of this id is known."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            secret = connection.execute("SELECT value FROM secrets WHERE name = 'subjects'").fetchone()
            digest = digest_of(secret[0] if secret else b"", tenant, user)
            found = connection.execute("SELECT key FROM subjects WHERE digest = ?", (digest,)).fetchone()
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    return None if found is None else pseudonym_of(found[0])
