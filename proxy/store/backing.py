"""What the writer needs of a database: transactions that can fail, and what is to be done when it is quiet.

`sqlite/backing.py` and `postgres/backing.py` implement it; `writer.py` drives it, from its own thread only.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.store.journal import Journal
from proxy.store.tables import Touched

Note = Callable[[Journal], None]
"""Something worth remembering that may be lost, such as how far a call has got."""


class Backing(Protocol):
    """One ledger's database, on behalf of one writer."""

    @property
    def journal(self) -> Journal:
        """The rules over its tables."""
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
        """It is quiet. Never raises, but for a defect."""
        ...

    def fold(self) -> None:
        """Have what was deleted leave the disk soon."""
        ...

    def close(self, *, well: bool) -> None:
        """Part with it; `well`: all was written. Never raises."""
        ...
