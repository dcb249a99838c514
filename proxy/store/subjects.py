"""End persons: a random key each, from which the pseudonym in the ledger is made.

Both stores of keys hand every call's user id to `Subjects.pseudonym`. A person is found by a keyed digest
of tenant and id; the id itself is never written. One seen before costs nothing. Of those seen for the
first time all that wait together are made in one transaction of a `Register`, and their calls go on only
when it is durable: whatever pseudonym is in the ledger has its key there, unless its person was erased.

A session (`x-session-id`) is recorded under a pseudonym as well, made from its person's key and the session's
id: with that key gone nobody can say any more which session it was, even with the id in hand. One without a
person is the tenant's, and is made from the store's own secret.

The work runs on a thread of its own, so that a caller who hangs up cannot leave it half done.
"""

import asyncio
import hashlib
import hmac
import logging
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Protocol

from proxy.errors import Refused, unavailable

log = logging.getLogger("proxy.keys")

KEY_BYTES = 32
DIGITS = 40
"""160 bits: no two persons meet by chance."""
KNOWN_MAX = 50_000
"""Persons kept in memory, about 450 bytes each; others are looked up again."""
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


def sessions_of(key: bytes) -> bytes:
    """What the pseudonyms of a person's sessions are made from."""
    return hmac.digest(key, b"fallthrough sessions", hashlib.sha256)


def sessions_of_tenant(lookup: bytes, tenant: str) -> bytes:
    """The same for sessions of nobody in particular. No person's digest begins like this."""
    message = f"fallthrough sessions {tenant}".encode("utf-8", "surrogatepass")
    return hmac.digest(lookup, message, hashlib.sha256)


def session_pseudonym(sessions: bytes, session: str) -> str:
    """What stands for one session in the ledger."""
    return hmac.digest(sessions, session.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:DIGITS]


class Person(NamedTuple):
    """An end person, as far as memory knows one: not the key, but what is made from it."""

    pseudonym: str
    sessions: bytes
    """What the pseudonyms of the person's sessions are made from."""


class NotNoted(Exception):
    """A register cannot be asked just now; says why."""


class Register(Protocol):
    """Where the keys of end persons are. Only one thread asks it, but for `era`."""

    @property
    def era(self) -> int | None:
        """Once it changes, nothing that was read before may be used; None: nothing may be remembered."""
        ...

    def keys_of(self, digests: tuple[bytes, ...]) -> Mapping[bytes, bytes]:
        """Their keys, made where there are none; durable when this returns. Raises `NotNoted`."""
        ...

    def part(self) -> None:
        """Let go of what is open; whoever asks again opens it anew."""
        ...


class Subjects:
    """The pseudonyms of end persons, from memory or from their register."""

    def __init__(self, register: Register, lookup: bytes) -> None:
        self._register = register
        self._lookup = lookup
        self._era = register.era
        """That in which `_known` was read."""
        self._known: OrderedDict[bytes, Person] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[bytes, asyncio.Future[Person]] = {}
        self._working = False
        self._thread = ThreadPoolExecutor(1, "subjects")

    async def pseudonym(self, tenant: str, user: str) -> str:
        """The pseudonym of a person, made and durable if it is the first time. Raises `Refused` 503."""
        return (await self._person(tenant, user)).pseudonym

    async def in_session(self, tenant: str, user: str | None, session: str) -> tuple[str | None, str]:
        """The pseudonyms of a person, if there is one, and of a session of that person or of the tenant.

        Both from one look, so that no erasure comes between them.
        """
        if user is None:
            return None, session_pseudonym(sessions_of_tenant(self._lookup, tenant), session)
        person = await self._person(tenant, user)
        return person.pseudonym, session_pseudonym(person.sessions, session)

    async def _person(self, tenant: str, user: str) -> Person:
        digest = digest_of(self._lookup, tenant, user)
        if self._register.era != self._era:
            self._begin_anew()
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
        for digest in [each for each, known in self._known.items() if known.pseudonym == pseudonym]:
            del self._known[digest]

    def close(self) -> None:
        """Wait for the thread; blocks for as long as its last transaction takes."""
        self._thread.submit(self._register.part)
        self._thread.shutdown()

    def _begin_anew(self) -> None:
        self._known.clear()
        self._era = self._register.era

    def _work_on(self) -> None:
        if not self._working and self._waiting:
            self._working = True
            loop, batch = asyncio.get_running_loop(), tuple(self._waiting)
            self._thread.submit(self._work, loop, batch, self._register.era)

    def _work(self, loop: asyncio.AbstractEventLoop, batch: tuple[bytes, ...], era: int | None) -> None:
        try:
            keys = self._register.keys_of(batch)
            found = {digest: Person(pseudonym_of(key), sessions_of(key)) for digest, key in keys.items()}
        except NotNoted as error:
            log.error("end persons cannot be noted: %s", error)  # noqa: TRY400 - the words are all there is to tell
            found = {}
        with suppress(RuntimeError):  # the loop is gone, and so is everybody who waited
            loop.call_soon_threadsafe(self._deliver, batch, found, era)

    def _deliver(self, batch: tuple[bytes, ...], found: Mapping[bytes, Person], era: int | None) -> None:
        if self._register.era != self._era:
            self._begin_anew()
        for digest in batch:
            future, person = self._waiting.pop(digest), found.get(digest)
            if person is None:
                _refuse(future)
            elif person.pseudonym in self._gone or era != self._era:
                self._waiting[digest] = future  # perhaps erased since it was read: looked up once more
            else:
                if era is not None:
                    self._known[digest] = person
                if not future.done():
                    future.set_result(person)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        self._working = False
        self._work_on()


def _refuse(future: asyncio.Future[Person]) -> None:
    if not future.done():
        future.set_exception(cannot_note())
        future.exception()  # whoever waited may have left


def cannot_note() -> Refused:
    """503: without a durable pseudonym there is no row to write, so nothing was spent."""
    return unavailable(
        "The end person could not be noted just now, so the call was not admitted.",
        "keys_unavailable",
        retry_after_s=1.0,
    )
