"""Who is told what of a call: of each kind of news only those who listen to it.

`app.py` makes one of all observers, `relay.py` and `account.py` tell it. A call has three pieces of news, and
most observers care for one or none of them, so that who listens is settled once and not at each call.
"""

from collections.abc import Callable

from msgspec import Struct

from proxy.call import Attempt, Outcome
from proxy.holds import Alert, Granted, Spent
from proxy.ports import Observer


class Audience(Struct, frozen=True):
    """Of each kind of news those observers who have a word of their own for it."""

    settled: tuple[Callable[[Outcome], None], ...] = ()
    attempted: tuple[Callable[[Attempt], None], ...] = ()
    reserved: tuple[Callable[[Granted | Spent], None], ...] = ()
    breaker: tuple[Callable[[str, str], None], ...] = ()
    alerted: tuple[Callable[[Alert], None], ...] = ()

    @classmethod
    def of(cls, *observers: Observer) -> "Audience":
        """All these, in this order."""
        return cls(
            tuple(one.settled for one in observers if type(one).settled is not Observer.settled),
            tuple(one.attempted for one in observers if type(one).attempted is not Observer.attempted),
            tuple(one.reserved for one in observers if type(one).reserved is not Observer.reserved),
            tuple(one.breaker for one in observers if type(one).breaker is not Observer.breaker),
            tuple(one.alerted for one in observers if type(one).alerted is not Observer.alerted),
        )

    def alert(self, alert: Alert) -> None:
        """A limit crossed a mark."""
        for tell in self.alerted:
            tell(alert)
