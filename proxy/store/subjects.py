"""End persons: a random key each, from which the pseudonym in the ledger is made.

`keys.py` hands every call's user id to `Subjects.pseudonym`. A person is found by a keyed digest of
tenant and id; the id itself is never written. One seen before costs no disk. Of those seen for the
first time all that wait together are made in one transaction, and their calls go on only when it is
durable: whatever pseudonym is in the ledger has its key here, unless its person was erased.

The work runs on a thread of its own, so that a caller who hangs up cannot leave it half done.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
import sqlite3
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from proxy.errors import Refused, unavailable
from proxy.store.sqlite.keyfile import connect, unreadable

log = logging.getLogger("proxy.keys")

KEY_BYTES = 32
DIGITS = 40
"""160 bits: no two persons meet by chance."""
KNOWN_MAX = 50_000
"""Pseudonyms kept in memory, about 300 bytes each; others are looked up again."""
WAITING_MAX = 10_000
"""Persons who may wait to be looked up; more are refused."""
GONE_MAX = 10_000
"""Erased pseudonyms that a look-up under way may still come home with."""


def digest_of(lookup: bytes, tenant: str, user: str) -> bytes:
    """What an end person is found by."""
    # The tenant's length keeps ("ab", "c") and ("a", "bc") apart.
    message = f"{len(tenant)}:{tenant}{user}".encode("utf-8", "surrogatepass")
    return hmac.digest(lookup, message, hashlib.sha256)


def pseudonym_of(key: bytes) -> str:
    """What stands for the person in the ledger; without the key nobody can say for whom."""
    return hmac.digest(key, b"fallthrough pseudonym", hashlib.sha256).hex()[:DIGITS]


class Subjects:
    """The pseudonyms of end persons, from memory or from the file."""

    def __init__(self, path: Path, lookup: bytes) -> None:
        self._path = path
        self._lookup = lookup
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[bytes, asyncio.Future[str]] = {}
        self._working = False
        self._thread = ThreadPoolExecutor(1, "subjects")
        self._connection: sqlite3.Connection | None = None
        """The thread's own."""

    async def pseudonym(self, tenant: str, user: str) -> str:
        """The pseudonym of a person, made and durable if it is the first time. Raises `Refused` 503."""
        digest = digest_of(self._lookup, tenant, user)
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
            return known
        future = self._waiting.get(digest)
        if future is None:
            if len(self._waiting) >= WAITING_MAX:
                raise cannot_note()
            future = self._waiting[digest] = asyncio.get_running_loop().create_future()
            self._work_on()
        # Shielded, because several calls of one person wait for the same future.
        return await asyncio.shield(future)

    def forget(self, pseudonym: str) -> None:
        """Drop an erased person's pseudonym: the next call of the same id makes another."""
        self._gone[pseudonym] = None
        if len(self._gone) > GONE_MAX:
            self._gone.popitem(last=False)
        for digest in [each for each, known in self._known.items() if known == pseudonym]:
            del self._known[digest]

    def close(self) -> None:
        """Wait for the thread; blocks for as long as its last transaction takes."""
        self._thread.submit(self._part)
        self._thread.shutdown()

    def _work_on(self) -> None:
        if not self._working and self._waiting:
            self._working = True
            loop, batch = asyncio.get_running_loop(), tuple(self._waiting)
            self._thread.submit(self._work, loop, batch)

    def _work(self, loop: asyncio.AbstractEventLoop, batch: tuple[bytes, ...]) -> None:
        try:
            found: Mapping[bytes, str] = self._look_up(batch)
        except sqlite3.Error as error:
            log.error("end persons cannot be noted: %s", error)  # noqa: TRY400 - the words are all there is to tell
            found = {}
            self._part()
        with suppress(RuntimeError):  # the loop is gone, and so is everybody who waited
            loop.call_soon_threadsafe(self._deliver, batch, found)

    def _look_up(self, batch: tuple[bytes, ...]) -> dict[bytes, str]:
        """All keys of a batch, made where there are none; durable when this returns."""
        connection = self._connection = self._connection or connect(self._path)
        keys = {digest: self._key(connection, digest) for digest in batch}
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
        return {digest: pseudonym_of(key) for digest, key in keys.items() if key is not None}

    def _key(self, connection: sqlite3.Connection, digest: bytes) -> bytes | None:
        row = connection.execute("SELECT key FROM subjects WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def _part(self) -> None:
        """Close the connection; one that failed is not trusted, the next batch opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _deliver(self, batch: tuple[bytes, ...], found: Mapping[bytes, str]) -> None:
        for digest in batch:
            future, pseudonym = self._waiting.pop(digest), found.get(digest)
            if pseudonym is not None and pseudonym not in self._gone:
                self._known[digest] = pseudonym
            if future.done():
                continue
            if pseudonym is None:
                future.set_exception(cannot_note())
                future.exception()  # whoever waited may have left
            else:
                future.set_result(pseudonym)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        self._working = False
        self._work_on()


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


def cannot_note() -> Refused:
    """503: without a durable pseudonym there is no row to write, so nothing was spent."""
    return unavailable(
        "The end person could not be noted just now, so the call was not admitted.",
        "keys_unavailable",
        retry_after_s=1.0,
    )
