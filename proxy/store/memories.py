"""What an erasure asks of this process's memory, wherever that is kept."""

from typing import Protocol


class Memories(Protocol):
    """All that this process remembers, for a while, of end persons."""

    def forget(self, tenant: str, user: str) -> None:
        """Let go of one, known by pseudonym."""
        ...

    def forget_all(self) -> None:
        """Let go of everybody: nobody can tell any more who was erased meanwhile."""
        ...
