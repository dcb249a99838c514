"""An event loop whose time is free: it jumps to the next timer when nothing else can run.

Fault tests use it so that a sixty-second timeout costs nothing and never flakes. A loop on which
nothing can ever run again raises instead of hanging: a lost wake-up is a failure, not a time-out.
"""

import asyncio
import math
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

WALL_START_US = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z: where virtual wall time begins."""


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop with a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:
            due = [handle._when for handle in self._scheduled if not handle._cancelled]
            if not due:
                raise Deadlock("nothing can ever run again")
            self._now = max(self._now, min(due))
        # A timer fires at its time and never a moment before: two tasks that wait for the next moment would
        # otherwise wake each other for ever in this one.
        self._clock_resolution = math.ulp(self._now)
        super()._run_once()


class HastyLoop(VirtualLoop):
    """A virtual loop whose longer timers fire half a millisecond early, as those of a loop that rounds do."""

    def __init__(self) -> None:
        super().__init__()
        self._clock_resolution = 0.001

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:
            due = [handle._when for handle in self._scheduled if not handle._cancelled]
            if due and min(due) - self._now > 0.001:
                self._now = min(due) - 0.0005
                asyncio.SelectorEventLoop._run_once(self)
                return
        super()._run_once()


class VirtualClock:
    """The Clock port on the running virtual loop."""

    def mono(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_us(self) -> int:
        return WALL_START_US + round(self.mono() * 1e6)


class SeededDice:
    """The Dice port from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def roll(self) -> float:
        return self._random.random()

    def token(self) -> str:
        return f"{self._random.getrandbits(96):024x}"


def play(story: Coroutine[Any, Any, T], *, loop: type[VirtualLoop] = VirtualLoop) -> T:
    """Run `story` to its end on a fresh virtual loop; leftover tasks are a failure."""
    with asyncio.Runner(loop_factory=loop) as runner:

        async def whole() -> T:
            result = await story
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left behind: {left}"
            return result

        return runner.run(whole())
