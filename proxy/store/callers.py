"""Callers' keys as both stores of them have them: shown once, kept as digests, found from memory.

`sqlite/keys.py` and `postgres/keys.py` fill it with what is in force. A key's text is shown when it is
made and never again; only its SHA-256 digest is kept. With 192 random bits a key cannot be guessed from
its digest, so no slow hash is needed, and `find` asks neither a disk nor a server.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable

from msgspec import Struct

from proxy.ports import Clock, Grant

PREFIX = "ft-"
KEY_BYTES = 24

InForce = tuple[bytes, str, str, int | None]
"""Digest, key id, tenant, and when it expires."""


class KeyRecord(Struct, frozen=True):
    """A key as the command line lists it: everything but the key."""

    key_id: str
    tenant: str
    name: str
    created_us: int
    expires_us: int | None
    revoked_us: int | None


class NewKey(Struct, frozen=True):
    """A key just made. `text` is the only copy there will ever be."""

    key_id: str
    text: str

    @property
    def digest(self) -> bytes:
        """What is stored of it."""
        return digest_of(self.text)

    def __repr__(self) -> str:
        return f"NewKey({self.key_id!r}, …)"


HandOver = Callable[[NewKey], None]
"""Gives a key to whoever asked for it, before it is in force: what it raises leaves everything as it was.

The other way round a key could be in force that nobody has, and an old text be refused for one that is lost.
"""


def later(_key: NewKey) -> None:
    """For who takes the key from what is returned."""


class _Live(Struct, frozen=True):
    """What `find` needs of a key that is not revoked."""

    grant: Grant
    expires_us: int | None


class Callers:
    """The keys in force, as they were last read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._live: dict[bytes, _Live] = {}

    def find(self, digest: bytes) -> Grant | None:
        live = self._live.get(digest)
        if live is None or (live.expires_us is not None and live.expires_us <= self._clock.wall_us()):
            return None
        return live.grant

    def take_in(self, rows: Iterable[InForce]) -> None:
        """These are in force from now on, and no others."""
        self._live = {
            digest: _Live(Grant(key_id, tenant), expires) for digest, key_id, tenant, expires in rows
        }


def digest_of(text: str) -> bytes:
    """What is stored, and what a presented key is found by."""
    return hashlib.sha256(text.encode()).digest()


def new_key() -> NewKey:
    """A key that nobody has ever seen."""
    return new_text("key_" + secrets.token_hex(8))


def new_text(key_id: str) -> NewKey:
    """Another text for a key."""
    return NewKey(key_id, PREFIX + secrets.token_hex(KEY_BYTES))
