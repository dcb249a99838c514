"""What lies beneath a ledger, found by its place: a file's package or a shared database's.

`keys.py`, `ledger.py` and `reader.py` ask here. Each package has a `front.py` that answers the same: it opens
the keys, the ledger and a reader, and tells what can be told without opening them. A front is read when
a place of its kind is first asked for, so that who keeps a file does not carry another database's driver.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from proxy.place import Database, Place

FILE, SHARED = "file", "shared"

FRONTS: Mapping[str, str] = {FILE: "proxy.store.sqlite.front", SHARED: "proxy.store.postgres.front"}
"""Kind of place → the module that answers for it."""


def beneath(place: Place) -> ModuleType:
    """The front of the package that knows the database at `place`."""
    return import_module(FRONTS[SHARED if isinstance(place, Database) else FILE])
