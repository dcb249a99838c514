"""Rows of the ledger's working tables as a transaction has them in memory, and why it may be undone.

`batched.py` keeps them; the stores read them from their database and write them back.
"""

from msgspec import Struct

from proxy.store.chain import Link
from proxy.store.reservation import Reservation


class Spoilt(Exception):
    """A transaction holds what may not stay, and cannot be rid of it but as a whole."""


class Counter(Struct, frozen=True):
    """A row of `balances`, without its key."""

    window_end: int
    unit: str
    used: int
    held: int
    ceiling: int
    marks: str


class Opened(Struct, frozen=True):
    """A row of `open_calls`, with what its reservation says."""

    epoch: int
    seq: int
    claims: str
    seen: str | None
    of: Reservation

    @property
    def columns(self) -> tuple[int, int, str, str | None]:
        """The row without its key."""
        return (self.epoch, self.seq, self.claims, self.seen)


class Mark(Struct, frozen=True):
    """Where a request began."""

    link: Link
    changes: int = 0
    rows: int = 0
    roots: int = 0
