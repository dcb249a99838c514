"""What a store says when it cannot be opened, or is asked for something that makes no sense.

`StoreRefused` ends a start and is shown to the operator; `Misuse` is a defect of the code that
called and never the caller's fault. A ledger that merely cannot write now says neither: it raises
`Refused` 503 like every other refusal.
"""

from proxy.errors import Refused, unavailable
from proxy.place import Place

RETRY_AFTER_S = 1.0


class StoreRefused(Exception):
    """A file or a database that we will not open, with what to do about it."""

    def __init__(self, place: Place, problem: str, remedy: str) -> None:
        super().__init__(f"{place}: {problem}; {remedy}")


class Unreadable(StoreRefused):
    """The database does not give what it holds: damaged, locked, or away."""

    def __init__(self, place: Place, problem: str, reason: str, remedy: str) -> None:
        super().__init__(place, f"{problem} ({reason})", remedy)
        self.reason = reason


class Owned(StoreRefused):
    """Another process owns the ledger."""


class Misuse(Exception):
    """A call was reserved twice, or moved when it was not open."""


class Contested(Misuse):
    """The database refuses a row of a transaction that has some, and does not say whose it is."""


def cannot_write() -> Refused:
    """503: nothing was reserved, so nothing was spent and the caller may come again."""
    return unavailable(
        "The ledger cannot write now, so the call was not admitted.",
        "ledger_unavailable",
        retry_after_s=RETRY_AFTER_S,
    )


def too_busy() -> Refused:
    """503: more reservations wait for the disk than we let wait."""
    return unavailable(
        "The ledger has too many calls waiting to be admitted.",
        "ledger_unavailable",
        retry_after_s=RETRY_AFTER_S,
    )
