"""What the store asks of a ledger and of keys in PostgreSQL; `databases.py` finds it by name."""

from contextlib import AbstractAsyncContextManager

from proxy.place import Database
from proxy.ports import Clock
from proxy.store.backing import Backing
from proxy.store.keys import KeyStore
from proxy.store.pace import Pace
from proxy.store.postgres import keys
from proxy.store.postgres.backing import join
from proxy.store.postgres.reader import open_postgres
from proxy.store.reader import Reader
from proxy.store.seal import PublicKey, Seal


def open_keys(ledger: Database, *, clock: Clock) -> AbstractAsyncContextManager[KeyStore]:
    """The keys, whose tables are made if missing."""
    return keys.open_postgres_keys(ledger, clock=clock)


def open_backing(ledger: Database, clock: Clock, pace: Pace, seal: Seal | None) -> Backing:
    """The ledger, as one more of its replicas. Its thread must run no loop."""
    return join(ledger, clock, pace, seal)


def open_reader(ledger: Database) -> Reader:
    """The ledger for who only reads. Its thread must run no loop."""
    return open_postgres(ledger)


def read_public_key(ledger: Database) -> PublicKey | None:
    """What checks the heads; None: no key is here."""
    return keys.read_public_key(ledger)


def find_pseudonym(ledger: Database, tenant: str, user: str) -> str | None:
    """A person's pseudonym; None: nobody of this id is known."""
    return keys.find_pseudonym(ledger, tenant, user)


def has_keys(ledger: Database) -> bool:
    """Whether there are keys: all tables are made at once."""
    return keys.exists(ledger)


def exists(ledger: Database) -> bool:
    """Whether anything was ever made there."""
    return keys.exists(ledger)
