"""A public key as people hand it on: hexadecimal digits or a PEM.

The command line reads and writes them. Apart from `seal.py`, because who serves needs none of what it takes
to read PEMs of every kind.
"""

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from proxy.store.seal import KEY_BYTES, PublicKey

DIGITS = re.compile(r"[0-9a-fA-F]+")


def key_in(text: str) -> PublicKey:
    """The key that a text holds. Raises `ValueError`, which never repeats what was given."""
    if "-----BEGIN" in text:
        return PublicKey(_unwrapped(text))
    digits = "".join(text.split())
    if not DIGITS.fullmatch(digits):
        raise ValueError(f"this is no public key: neither {2 * KEY_BYTES} hexadecimal digits nor a PEM")
    if len(digits) != 2 * KEY_BYTES:
        raise ValueError(f"a public key has {2 * KEY_BYTES} hexadecimal digits, this has {len(digits)}")
    return PublicKey(bytes.fromhex(digits))


def pem_of(key: PublicKey) -> str:
    """The key as a PEM."""
    wrapped = Ed25519PublicKey.from_public_bytes(key.raw)
    return wrapped.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _unwrapped(pem: str) -> bytes:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("this PEM holds no public key that can be read") from None
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    raise ValueError("this PEM holds a public key of another kind than Ed25519")
