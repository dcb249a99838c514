"""Reasoning that some upstreams want back with the tool calls it led to, though callers lose it.

The readers of answers collect it here, and `openai_messages.py` puts it back on the next turn. What is
kept meanwhile is one JSON text, and never more of it than `THOUGHTS_MAX`.
"""

from collections.abc import Iterable

from proxy.call import Memory
from proxy.wire.counts import size
from proxy.wire.tolerant import dumps, loads

THOUGHTS_MAX = 1024 * 1024
"""Bytes of reasoning kept from one answer."""


class Thoughts:
    """The reasoning of one answer, kept for an upstream that wants it back with the tool calls."""

    __slots__ = ("_bytes", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._bytes = 0

    def add(self, text: str) -> None:
        """One more piece; past the most that may be kept, all is let go, for half of it is of no use."""
        self._bytes += size(text)
        if self._bytes <= THOUGHTS_MAX:
            self._texts.append(text)
        else:
            self._texts.clear()

    def memories(self, calls: Iterable[str]) -> tuple[Memory, ...]:
        """What must come back with `calls`, if there is anything."""
        ids = tuple(calls)
        if not ids or not self._texts:
            return ()
        return (Memory(ids, dumps("".join(self._texts))),)


def thought_in(state: bytes) -> str | None:
    """The reasoning in a memory, as `Thoughts` wrote it."""
    try:
        thought = loads(state)
    except ValueError:
        return None
    return thought if isinstance(thought, str) else None
