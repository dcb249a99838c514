"""Reading a ledger beside whoever writes it: one way to ask, whatever database it lies in.

`verify.py`, `replay.py`, `report.py`, `export.py` and `retention.py` ask through `Reader`, in SQL that all
databases here understand: parameters are `?` or `?1`, sums are cast, nothing is asked of a vendor's own.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from proxy.place import Place
from proxy.store.chain import Link
from proxy.store.databases import beneath
from proxy.store.heads import Head, Unread


class Reader(Protocol):
    """One ledger, read only. Whatever it cannot give raises `Unreadable`."""

    @property
    def place(self) -> Place:
        """Which ledger."""
        ...

    def select(self, sql: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        """The answer, at once or as it comes."""
        ...

    def begin(self) -> None:
        """Until `end` everything is as it is now. In a file, do not stay long: it holds up checkpoints."""
        ...

    def end(self) -> None:
        """What comes is as it is then."""
        ...

    def heads(self) -> Sequence[Head | Unread]:
        """Every head kept with the ledger, the oldest first."""
        ...

    def newest_head(self) -> Head | Unread | None:
        """The last of them; None: there is none."""
        ...

    def kept_end(self) -> Link | None:
        """Where the chain ends, where a place apart from the rows says so; None: the rows alone do."""
        ...

    def close(self) -> None:
        """Done."""
        ...


def open_reader(place: Place) -> Reader:
    """A reader of the ledger at a place. Raises `StoreRefused` where there is none of ours."""
    reader: Reader = beneath(place).open_reader(place)
    return reader


@contextmanager
def at_once(reader: Reader) -> Iterator[None]:
    """Whatever is read within is of one moment."""
    reader.begin()
    try:
        yield
    finally:
        reader.end()


def only(rows: Iterable[tuple[Any, ...]]) -> Any:
    """The one value of an answer; None where it has no row."""
    found = next(iter(rows), None)
    return None if found is None else found[0]
