"""The signature beneath heads and stubs (Ed25519): one key makes it, another can only check it.

The private key lies in `keys.db`, and only the process that owns the ledger makes a `Seal` of it. The
public key may be anybody's: whoever has it can tell what the house signed, and can sign nothing.
`heads.py` and `stub.py` say which bytes are signed, `anchor.py` and `retention.py` have them signed,
and who verifies is handed a `PublicKey`, never a `Seal`. Only `pem.py` knows the package behind both, too.
"""

import re
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from proxy.place import Place
from proxy.store.fault import StoreRefused

KEY_BYTES = 32

SIGNATURE = re.compile(r"[0-9a-f]{128}")
"""As it is written: one signature has one text, so that none can be told twice in two ways."""


class PublicKey(Struct, frozen=True):
    """All that is needed to check, and nothing to sign with."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise ValueError(f"a public key has {KEY_BYTES} bytes, this has {len(self.raw)}")

    @property
    def hex(self) -> str:
        return self.raw.hex()

    @property
    def key_id(self) -> str:
        """What heads and stubs name the key by. It is too short to be published in its place."""
        return sha256(self.raw).hexdigest()[:16]

    def signed(self, data: bytes, signature: str | None) -> bool:
        """Whether this is the signature of those bytes by the private key that belongs to this one."""
        if signature is None or not SIGNATURE.fullmatch(signature):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(bytes.fromhex(signature), data)
        except InvalidSignature:
            return False
        return True


class Seal:
    """Signs heads and stubs. Raises `ValueError` where the secret is no private key."""

    def __init__(self, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public_key = PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> str:
        return self._key.sign(data).hex()


def seal_of(place: Place, secret: bytes) -> Seal:
    """The seal whose private key lies at a place. Raises `StoreRefused`."""
    try:
        return Seal(secret)
    except ValueError as error:
        problem = "what it holds as the key that signs heads is no key"
        raise StoreRefused(place, problem, "bring back the keys that belong to this ledger") from error
