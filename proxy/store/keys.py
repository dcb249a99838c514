"""Keys, end persons and letters of a ledger, wherever that lies: the way in for everybody else.

Beside a ledger's file they are in `keys.db`, in a ledger's database in a schema of their own. Both stores
do the same; nothing outside asks which one it has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from proxy.errors import unavailable
from proxy.place import Place
from proxy.ports import Act, Clock, Grant, Letter
from proxy.store.callers import HandOver, KeyRecord, NewKey, later
from proxy.store.databases import beneath
from proxy.store.fault import StoreRefused
from proxy.store.memories import Memories
from proxy.store.seal import PublicKey, Seal

STRANGER = "nobody known"
"""Stands for whoever was never noted; pseudonyms are hexadecimal digits, so that it is nobody's."""

Answer = Mapping[str, Any]
CarryOut = Callable[[Letter], Awaitable[Answer]]


class Mailbox(Protocol):
    """Letters from the command line to whoever serves the ledger."""

    async def post(self, letter: Letter) -> None:
        """Leave a letter."""
        ...

    async def post_erasure(self, act: Act, tenant: str, user: str) -> bool:
        """Destroy a person's key and post the letter that says so, both or neither; False: no such person."""
        ...

    async def heed(self, memories: Memories) -> None:
        """Let this process forget whoever was erased since it was last asked."""
        ...

    async def unanswered(self) -> tuple[Letter, ...]:
        """What is to be done, the oldest first."""
        ...

    async def settle(self, letter: Letter, carry_out: CarryOut) -> None:
        """Have a letter carried out and answer it, if that is for this process to do."""
        ...

    async def attended(self) -> bool:
        """Whether somebody is known to look for letters."""
        ...

    async def answer_to(self, id_: str) -> Answer | None:
        """The answer to a letter, or None while there is none; empty once the letter is gone."""
        ...

    async def take(self, id_: str) -> None:
        """Take an answered letter away."""
        ...

    async def clear(self, before_us: int) -> None:
        """Take away what was answered before a moment."""
        ...


class KeyStore(Protocol):
    """Who may call and for whom: `proxy.ports.Keys`, and what people do to it."""

    @property
    def seal(self) -> Seal:
        """What the ledger's heads are signed with."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """What is asked of whoever serves the ledger."""
        ...

    def find(self, digest: bytes) -> Grant | None:
        """The grant behind a presented key's digest, from memory."""
        ...

    async def pseudonym(self, tenant: str, user: str) -> str:
        """What stands for an end person in the ledger; durable when it returns. Raises `Refused` 503."""
        ...

    async def in_session(self, tenant: str, user: str | None, session: str) -> tuple[str | None, str]:
        """What stands for an end person, if there is one, and for a session of theirs or of the tenant."""
        ...

    def forget(self, pseudonym: str) -> None:
        """Drop from memory whose key was destroyed."""
        ...

    async def refresh(self) -> bool:
        """Take in what others changed; whether anything was read."""
        ...

    async def create(
        self, tenant: str, name: str = "", expires_us: int | None = None, hand_over: HandOver = later
    ) -> NewKey:
        """Make a key, which is handed over before it is in force."""
        ...

    async def list(self) -> tuple[KeyRecord, ...]:
        """All keys ever made, the oldest first."""
        ...

    async def revoke(self, key_id: str) -> bool:
        """End a key at once; False if there is no such key or it was revoked before."""
        ...

    async def rotate(self, key_id: str, hand_over: HandOver = later) -> NewKey | None:
        """A new text for the same key, handed over first; None if there is no such key or it was revoked."""
        ...


def open_keys(ledger: Place, *, clock: Clock) -> AbstractAsyncContextManager[KeyStore]:
    """The keys of a ledger, made if missing. Raises `StoreRefused`."""
    keys: AbstractAsyncContextManager[KeyStore] = beneath(ledger).open_keys(ledger, clock=clock)
    return keys


def read_public_key(ledger: Place) -> PublicKey | None:
    """What checks the ledger's heads, for who only checks; None: no key is here. Raises `StoreRefused`."""
    key: PublicKey | None = beneath(ledger).read_public_key(ledger)
    return key


def find_pseudonym(ledger: Place, tenant: str, user: str) -> str | None:
    """A person's pseudonym, for who only reads; None: nobody of this id is known. Raises `StoreRefused`."""
    found: str | None = beneath(ledger).find_pseudonym(ledger, tenant, user)
    return found


async def known_person(ledger: Place, tenant: str, user: str) -> str:
    """A person's pseudonym if there is one, else `STRANGER`; nobody becomes known. Raises `Refused` 503."""
    try:
        return await asyncio.to_thread(find_pseudonym, ledger, tenant, user) or STRANGER
    except StoreRefused:
        raise unavailable("Who is known cannot be read just now.", "keys_unavailable") from None


def has_keys(ledger: Place) -> bool:
    """Whether keys are kept with a ledger, which itself may begin later. Raises `StoreRefused`."""
    return bool(beneath(ledger).has_keys(ledger))


def exists(ledger: Place) -> bool:
    """Whether there is a ledger, for who would not make one. Raises `StoreRefused`."""
    return bool(beneath(ledger).exists(ledger))
