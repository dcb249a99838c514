"""Two attempts at once: one that is late, and one that was asked beside it.

`relay.py` runs the attempts of a call with `hedge` in here; each has a task of its own, and the race
waits for all of them, whatever happens. Whoever has content first calls the others off. It knows
nothing of what an attempt does.
"""

import asyncio
from collections.abc import Callable, Coroutine

from msgspec import Struct, field

from proxy.errors import Failure
from proxy.policy.steps import CalledOff, Event, Instruction, Order, Rely

Result = Event | Failure


class Race(Struct):
    """The attempts under way for one call."""

    attempt: Callable[[Order], Coroutine[None, None, Event]]
    """Makes one; a `Failure` that it raises is how it ended, like any other."""
    late: Callable[[], Order | None]
    """Who is asked beside the first, which is late; None: nobody."""
    ended: Callable[[Result, int], Instruction]
    """Told how an attempt ended, by its number."""
    _running: dict[asyncio.Task[Result], int] = field(default_factory=dict)

    async def run(self, first: Order, after_s: float) -> Instruction:
        """What to do next once no attempt is left."""
        step: Instruction = Rely()
        async with asyncio.TaskGroup() as group:
            self._start(group, first)
            done, _ = await asyncio.wait(self._running, timeout=after_s)
            if not done and (second := self.late()) is not None:
                self._start(group, second)
            while self._running:
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda one: not one.cancelled()):
                    number = self._running.pop(task)
                    told = self.ended(CalledOff() if task.cancelled() else task.result(), number)
                    if isinstance(step, Rely) and not isinstance(told, Rely):
                        step = told
                        self._call_off()
        return step

    def won(self) -> None:
        """The attempt that calls this has content, and goes on alone."""
        self._call_off(but=asyncio.current_task())

    def _start(self, group: asyncio.TaskGroup, order: Order) -> None:
        task = group.create_task(self._contend(order), name=f"attempt {order.number}")
        self._running[task] = order.number

    async def _contend(self, order: Order) -> Result:
        try:
            return await self.attempt(order)
        except Failure as failure:
            return failure

    def _call_off(self, but: asyncio.Task[Result] | None = None) -> None:
        for task in self._running:
            if task is not but:
                task.cancel()
