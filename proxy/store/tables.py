"""What a database keeps for the ledger: the words that `journal.py` needs of its tables.

A store implements `Tables` over its own driver, from memory as far as it can (`batched.py`): the file has
one owner, which may believe what it has read; a server has many, and each batch reads what it is about.
All of it happens inside the transaction that the writer has opened. What is undone leaves nothing behind.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from proxy.holds import Claim
from proxy.question import Question
from proxy.store.chain import Link
from proxy.store.entries import Entry
from proxy.store.reservation import Reservation
from proxy.store.rows import Row
from proxy.table import Unit

Counted = tuple[str, int]
"""A balance: its scope and the start of its window."""


class Stand(Struct, frozen=True):
    """What a counter has come to."""

    used: int
    ceiling: int
    marks: str
    """JSON, as last claimed with."""


ASKED_US = 24 * 3600 * 1_000_000
"""How long a question is remembered."""

TIDIED = 8
"""How many questions that are too old are forgotten for each that is asked: they can never pile up."""


class Asked(NamedTuple):
    """The call that was made for a question."""

    digest: bytes
    call_id: str
    at_us: int


class Touched(Struct, frozen=True):
    """What a request will ask the tables for, so that a distant store can read it for a whole batch."""

    call_id: str | None = None
    claims: tuple[Claim, ...] = ()
    """Whose counters."""
    question: Question | None = None


class Tables(Protocol):
    """The ledger's tables within one transaction, on behalf of one process's life (`epoch`)."""

    epoch: int

    def savepoint(self) -> None:
        """Begin a request."""
        ...

    def undo(self) -> None:
        """The request did not go well: nothing of it stays."""
        ...

    def fatal(self, error: Exception) -> bool:
        """Whether an error is the database's own, and fails the whole transaction."""
        ...

    def tail(self) -> Link:
        """The last row, those of the transaction under way included."""
        ...

    def append(self, row: Row) -> Link:
        """Chain a row to the last; the root too where it is the last of a segment.

        Raises `Misuse` for a call that was reserved before, or its transaction ends with `Contested`.
        """
        ...

    def noted(self, act_id: str) -> bool:
        """Whether the row of an act is there."""
        ...

    def take(self, claim: Claim) -> tuple[int, int] | None:
        """Hold a claim that fits beneath its ceiling, or is a shadow: used and held then; None: no room."""
        ...

    def look(self, counter: Counted) -> tuple[int, int]:
        """Used and held, zero where nothing was ever held."""
        ...

    def give(self, counter: Counted, used: int, freed: int) -> Stand:
        """Free what was held, and charge what was used."""
        ...

    def in_force(self, scope: str, now_s: int) -> Sequence[tuple[int, Unit, int]]:
        """Window, unit and use of a counter in every window that is not over."""
        ...

    def renew(self, counter: Counted) -> None:
        """Set a counter back to nothing, and forget which marks it crossed."""
        ...

    def first_told(self, counter: Counted, mark: int) -> bool:
        """Remember that a mark was crossed; False if that was known."""
        ...

    def find(self, call_id: str) -> Reservation | None:
        """An open reservation."""
        ...

    def left(self) -> Sequence[Reservation]:
        """What dead processes left open, the oldest first."""
        ...

    def open(self, row: Row, claims: Sequence[Entry]) -> None:
        """A reservation of these begins, with the row that says so."""
        ...

    def widen(self, call_id: str, claims: str) -> None:
        """Claims were added to it."""
        ...

    def saw(self, call_id: str, seen: str) -> None:
        """How far its call has got; nothing, if it is resolved already."""
        ...

    def close(self, call_id: str) -> None:
        """It is resolved."""
        ...

    def asked(self, name: bytes) -> Asked | None:
        """The call that was made for the question of this name, however old."""
        ...

    def ask(self, name: bytes, asked: Asked | None) -> None:
        """A call is made for a question, or came to nothing. Forgets a few that are too old."""
        ...

    def touch(self) -> None:
        """Write something that changes nothing."""
        ...

    def select(self, sql: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        """For acts of people, which are rare: any question, in the words that all databases here know."""
        ...

    def execute(self, sql: str, *values: Any) -> int:
        """The same for changes; how many rows they made."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One change for each row of values."""
        ...
