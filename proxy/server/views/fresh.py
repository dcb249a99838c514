"""Something that is worked out at most once in a while, for all who ask meanwhile.

However many watch and however often callers ask, the work is done once; and if it is heavy, more rarely,
so that looking never takes more than a small part of what there is to look at.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

EVERY_S = 1.0
SHARE = 10
"""After work that took a second nothing is worked out for so many."""

T = TypeVar("T")


class Fresh(Generic[T]):
    """The last value, and the way to the next."""

    def __init__(self, make: Callable[[], Awaitable[T]], mono: Callable[[], float]) -> None:
        self._make = make
        self._mono = mono
        self._lock = asyncio.Lock()
        self._values: tuple[T, ...] = ()
        """None, or the last one."""
        self._due = 0.0

    async def get(self) -> T:
        """A value not much older than `EVERY_S`. What `make` raises is not remembered."""
        async with self._lock:
            began = self._mono()
            if not self._values or began >= self._due:
                self._values = (await self._make(),)
                ended = self._mono()
                self._due = ended + max(EVERY_S * 0.9, SHARE * (ended - began))
            return self._values[0]
