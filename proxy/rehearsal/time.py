"""Time and chance of a rehearsal: a loop that jumps to the next timer, a clock on it, dice from a seed.

Two minutes of an outage take as long as the work in them. The loop is asyncio's own; only its selector
knows that nobody outside is waited for: where the loop would sleep until its next timer, the hour is
moved to it instead. A loop on which nothing can ever run again says so instead of sleeping for ever.
"""

import asyncio
import hashlib
import selectors
from collections.abc import Mapping
from typing import Any

BEGINS_US = 1_781_524_800_000_000
"""2026-06-15T12:00:00Z, a Monday noon: when every rehearsal begins, so that windows of limits fall alike."""


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set."""


class _Hours(selectors.BaseSelector):
    """Waits for nobody: whatever the loop would sleep has passed."""

    def __init__(self) -> None:
        self.now = 0.0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real.select(0)
        if found or timeout == 0:
            return found
        if timeout is None:
            raise Deadlock("nothing can ever run again")
        self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class _NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set is its number: who comes first must not hang on an address."""

    def __init__(self, coroutine: Any, *, number: int, loop: asyncio.AbstractEventLoop, **named: Any) -> None:
        self._number = number
        super().__init__(coroutine, loop=loop, **named)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class FreeLoop(asyncio.SelectorEventLoop):
    """A loop whose time is free, and whose order is the same in every process."""

    def __init__(self) -> None:
        self._hours = _Hours()
        super().__init__(self._hours)
        self._tasks = 0
        self.set_task_factory(self._numbered)

    def _numbered(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **named: Any) -> asyncio.Task[Any]:
        self._tasks += 1
        return _NumberedTask(coroutine, number=self._tasks, loop=loop, **named)

    def time(self) -> float:
        return self._hours.now


class Hour:
    """Seconds since a rehearsal began, on whatever loop it is played."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def __call__(self) -> float:
        return self._loop.time() - self._began


class FreeClock:
    """The Clock port on the running loop."""

    def mono(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_us(self) -> int:
        return BEGINS_US + round(self.mono() * 1e6)


class SeededDice:
    """The Dice port from a seed: the same rolls in every process and every Python."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._rolled = 0

    def roll(self) -> float:
        return (int.from_bytes(self._draw()[:8], "big") >> 11) / (1 << 53)

    def token(self) -> str:
        return self._draw()[:12].hex()

    def _draw(self) -> bytes:
        self._rolled += 1
        return hashlib.blake2b(b"%d" % self._rolled, key=self._seed[:64], digest_size=16).digest()
