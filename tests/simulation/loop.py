"""The seeded loop: time is free, and the seed decides who runs next.

Built on the virtual loop of the kit. Whatever is ready at one moment may run in any order, so the order is
drawn anew at each step; only steps of tasks change places, because asyncio promises the order of callbacks.
Nothing here may depend on an address or on the hash of a string, or a seed would not replay.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from tests.kit.virtual import VirtualLoop


class NumberedTask(asyncio.Task):
    """A task whose place in a set is its number: who is cancelled first must not hang on an address."""

    def __init__(self, coro: Any, *, number: int, loop: asyncio.AbstractEventLoop, **named: Any) -> None:
        self._number = number
        super().__init__(coro, loop=loop, **named)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulationLoop(VirtualLoop):
    """A virtual loop that shuffles, counts its steps and has each of them looked at."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.steps = 0
        self.look: Callable[[], None] = _nothing
        """Called after each step; what it raises ends the run."""
        self._dice = random.Random(seed)
        self._tasks = 0
        self.set_task_factory(self._numbered)

    def _numbered(self, loop: asyncio.AbstractEventLoop, coro: Any, **named: Any) -> NumberedTask:
        self._tasks += 1
        return NumberedTask(coro, number=self._tasks, loop=loop, **named)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """A thread takes no time here, and is none: what it would do is a step of the loop."""

        async def work() -> Any:
            return func(*args)

        return self.create_task(work(), name="a thread")

    def _run_once(self) -> None:
        ready = self._ready
        if len(ready) > 1:
            handles = list(ready)
            places = [at for at, handle in enumerate(handles) if _is_step(handle)]
            drawn = places[:]
            self._dice.shuffle(drawn)
            steps = [handles[at] for at in drawn]
            for at, handle in zip(places, steps, strict=True):
                handles[at] = handle
            ready.clear()
            ready.extend(handles)
        super()._run_once()
        self.steps += 1
        self.look()


def _is_step(handle: asyncio.Handle) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)


def _nothing() -> None:
    """Until somebody looks."""
