"""What the writer needs of a database: transactions that can fail, and what is to be done when it is quiet.

`sqlite/backing.py` and `postgres/backing.py` implement it; `writer.py` drives it, from its own thread only.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.holds import Granted, Hold
from proxy.store.journal import Journal, Result, Work
from proxy.store.tables import Touched

Note = Callable[[Journal], None]
"""Something worth remembering that may be lost, such as how far a call has got."""


class Asking(Protocol):
    """A reservation that is asked for."""

    def work(self, journal: Journal) -> Result:
        """On the writer's thread."""
        ...

    def done(self, answered: asyncio.Future[Result]) -> None:
        """It was answered, in one way or another."""
        ...

    def lost(self) -> None:
        """It was not even asked."""
        ...


class Lending(Protocol):
    """What this process borrowed of counters that it shares. Called on the loop."""

    def spend(self, hold: Hold) -> Granted | None:
        """Grant from what was borrowed; None: the database has to be asked."""
        ...

    def recording(self, hold: Hold) -> Callable[[Journal], None]:
        """Write the row of a hold that was granted so."""
        ...

    def asking(self, hold: Hold) -> Asking:
        """Ask the database, and perhaps borrow."""
        ...

    def returning(self) -> Work | None:
        """Give back what lies idle; None: nothing does, or it was looked for a moment ago."""
        ...


class Backing(Protocol):
    """One ledger's database, on behalf of one writer."""

    @property
    def journal(self) -> Journal:
        """The rules over its tables."""
        ...

    @property
    def lending(self) -> Lending | None:
        """What it lends of its counters, to be granted from without a question; None: it is near enough."""
        ...

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What any method here may raise when the database does not do its work."""
        ...

    def begin(self, touched: Sequence[Touched]) -> None:
        """Open a transaction on a connection that is trusted, knowing what it is about."""
        ...

    def commit(self) -> None:
        """End it: durable when this returns, and perhaps when it raises."""
        ...

    def undo(self, error: Exception, *, unsure: bool) -> None:
        """The transaction failed; `unsure`: in its commit, so that it may be there all the same."""
        ...

    def settled(self) -> None:
        """A batch is durable and told: look to heads and the like. Never raises."""
        ...

    def whisper(self, notes: Sequence[Note]) -> None:
        """Write notes alone, in a transaction that waits for no disk. Never raises: notes may be lost."""
        ...

    def restless(self) -> bool:
        """Whether a quiet while would be of use."""
        ...

    def rest(self) -> None:
        """It is quiet. Raises one of `failures` where nothing could be written now."""
        ...

    def fold(self) -> None:
        """Have what was deleted leave the disk soon."""
        ...

    def close(self, *, well: bool) -> None:
        """Part with it; `well`: all was written. Never raises."""
        ...
