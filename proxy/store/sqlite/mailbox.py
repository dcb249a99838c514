"""Letters to the process that owns the ledger: what the command line asks of a proxy that runs.

`keys.db` is the mailbox, because any process may write it. A command posts a letter and waits for the
answer; the owner (`duties/acts.py`) looks several times a second, and finds after a kill what it had
not answered. A letter about a person holds the pseudonym that memory must let go of until it is
answered; `scrub` takes the last trace of it and of the key out of the file before that, so that whoever
is killed in between leaves the letter to be found.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import orjson

from proxy.ports import Act, Letter
from proxy.store.memories import Memories
from proxy.store.sqlite.keyfile import connect
from proxy.store.subjects import digest_of, pseudonym_of

log = logging.getLogger("proxy.keys")

ERASE = "erase"

Answer = Mapping[str, Any]
CarryOut = Callable[[Letter], Awaitable[Answer]]


class Mailbox:
    """The letters in one key file."""

    def __init__(self, path: Path, connection: aiosqlite.Connection, lookup: bytes) -> None:
        self._path = path
        self._connection = connection
        self._lookup = lookup

    async def post(self, letter: Letter) -> None:
        act = letter.act
        values = (act.id, act.at_us, act.who, letter.kind, orjson.dumps(letter.detail).decode())
        await self._connection.execute("INSERT INTO letters VALUES (?, ?, ?, ?, ?, NULL)", values)

    async def post_erasure(self, act: Act, tenant: str, user: str) -> bool:
        """Destroy a person's key and post the letter that says so, both or neither; False: no such person."""
        return await asyncio.to_thread(
            _destroy, self._path, act, tenant, digest_of(self._lookup, tenant, user)
        )

    async def heed(self, memories: Memories) -> None:
        """Nothing: the ledger's only owner lets go of who was erased as it carries the act out."""

    async def unanswered(self) -> tuple[Letter, ...]:
        """What is to be done, the oldest first. A file that cannot be read just now is asked again later."""
        sql = "SELECT id, at_us, who, kind, detail FROM letters WHERE answer IS NULL ORDER BY at_us, id"
        try:
            rows = await self._connection.execute_fetchall(sql)
        except sqlite3.Error as error:
            log.warning("letters cannot be read: %s", error)
            return ()
        return tuple(
            Letter(Act(id_, at_us, who), kind, orjson.loads(detail)) for id_, at_us, who, kind, detail in rows
        )

    async def settle(self, letter: Letter, carry_out: CarryOut) -> None:
        """Have a letter carried out and answer it: whoever owns the ledger answers all."""
        await self.answer(letter, await carry_out(letter))

    async def attended(self) -> bool:
        """Whether somebody is known to look for letters: only who tries to own the ledger can tell."""
        return False

    async def answer(self, letter: Letter, answer: Answer) -> None:
        """Say that it is done, and forget what it was about; of an erasure no trace is left by then."""
        if letter.kind == ERASE:
            await self._connection.execute("UPDATE letters SET detail = '{}' WHERE id = ?", (letter.act.id,))
            await asyncio.to_thread(scrub, self._path)
        text = orjson.dumps(answer).decode()
        sql = "UPDATE letters SET detail = '{}', answer = ? WHERE id = ?"
        await self._connection.execute(sql, (text, letter.act.id))

    async def answer_to(self, id_: str) -> Answer | None:
        """The answer to a letter, or None while there is none; empty once the letter is gone."""
        rows = await self._connection.execute_fetchall("SELECT answer FROM letters WHERE id = ?", (id_,))
        answer = next(iter(rows), ("{}",))[0]
        return None if answer is None else dict(orjson.loads(answer))

    async def take(self, id_: str) -> None:
        """Take an answered letter away."""
        await self._connection.execute("DELETE FROM letters WHERE id = ?", (id_,))

    async def clear(self, before_us: int) -> None:
        """Take away what was answered before a moment, for whoever asked is gone."""
        try:
            sql = "DELETE FROM letters WHERE answer IS NOT NULL AND at_us < ?"
            await self._connection.execute(sql, (before_us,))
        except sqlite3.Error as error:
            log.warning("letters cannot be cleared: %s", error)


def scrub(path: Path) -> None:
    """Write the whole file anew: pages keep copies of what was moved within them, whatever was deleted."""
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("VACUUM")


def _destroy(path: Path, act: Act, tenant: str, digest: bytes) -> bool:
    with closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute("SELECT key FROM subjects WHERE digest = ?", (digest,)).fetchone()
        if found is None:
            return False
        detail = {"tenant": tenant, "pseudonym": pseudonym_of(found[0])}
        connection.execute("DELETE FROM subjects WHERE digest = ?", (digest,))
        values = (act.id, act.at_us, act.who, ERASE, orjson.dumps(detail).decode())
        connection.execute("INSERT INTO letters VALUES (?, ?, ?, ?, ?, NULL)", values)
        connection.execute("COMMIT")
    return True
