"""What the store asks of a ledger in a file and of the keys beside it; `databases.py` finds it by name."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from proxy.ports import Clock
from proxy.store.backing import Backing
from proxy.store.fault import StoreRefused
from proxy.store.keys import KeyStore
from proxy.store.pace import Pace
from proxy.store.reader import Reader
from proxy.store.seal import PublicKey, Seal
from proxy.store.sqlite import keyfile, register
from proxy.store.sqlite.backing import own
from proxy.store.sqlite.keys import open_sqlite_keys
from proxy.store.sqlite.reader import open_sqlite

KEYS = "keys.db"


def open_keys(ledger: Path, *, clock: Clock) -> AbstractAsyncContextManager[KeyStore]:
    """The keys, made if missing."""
    return open_sqlite_keys(_beside(ledger), clock=clock)


def open_backing(ledger: Path, clock: Clock, pace: Pace, seal: Seal | None) -> Backing:
    """The ledger, made if missing, and from now on this process's own."""
    return own(ledger, clock, pace, seal)


def open_reader(ledger: Path) -> Reader:
    """The ledger for who only reads."""
    return open_sqlite(ledger)


def read_public_key(ledger: Path) -> PublicKey | None:
    """What checks the heads; None: no key is here."""
    return keyfile.read_public_key(_beside(ledger))


def find_pseudonym(ledger: Path, tenant: str, user: str) -> str | None:
    """A person's pseudonym; None: nobody of this id is known."""
    return register.find_pseudonym(_beside(ledger), tenant, user)


def has_keys(ledger: Path) -> bool:
    """Whether there are keys. Raises `StoreRefused` where nobody may look."""
    return _there(_beside(ledger))


def exists(ledger: Path) -> bool:
    """Whether there is a ledger. Raises `StoreRefused` where nobody may look."""
    return _there(ledger)


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        remedy = "let this process read there, or name another place"
        raise StoreRefused(path, f"it cannot be looked at ({error.strerror})", remedy) from error


def _beside(ledger: Path) -> Path:
    return ledger.with_name(KEYS)
