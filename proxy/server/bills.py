"""What shared calls came to: whether there is an answer, and whether anything may have been paid for it.

An observer that `app.py` puts among the others, so that the story need not know who asks. It remembers
only calls that `twins.py` watches, and each until it is asked about.
"""

from msgspec import Struct

from proxy.call import Outcome
from proxy.ports import Observer


class Bill(Struct, frozen=True):
    """How a call ended."""

    answered: bool = False
    """With a whole answer."""
    spent: bool = False
    """An upstream did some work, or may have."""


UNTOLD = Bill()
"""Nobody was told that it ended, so it never got as far as an upstream."""


class Bills(Observer):
    """The `Observer` that knows what a watched call came to."""

    def __init__(self) -> None:
        self._watched: dict[str, Bill] = {}

    def watch(self, call_id: str) -> None:
        """Remember how this call ends."""
        self._watched[call_id] = UNTOLD

    def take(self, call_id: str) -> Bill:
        """How a watched call ended; it is watched no more."""
        return self._watched.pop(call_id)

    def settled(self, outcome: Outcome) -> None:
        if outcome.call_id in self._watched:
            self._watched[outcome.call_id] = Bill(outcome.result == "ok", outcome.spent)
