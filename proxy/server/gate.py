"""The gate: who is inside, and whether anyone may still come in.

`calls.py` enters it for each call, before one byte of the body is read; `listeners.py` closes it at
shutdown. It counts tasks and knows neither HTTP nor the story: a call that outlives the drain is
cancelled, and ends itself. Full, or while the loop is late (`policy/lag.py`), it turns newcomers away at
once, which costs next to nothing: a call that is let in and cannot be served costs its body, its parse
and a place at an upstream.
"""

import asyncio
import math
from collections.abc import Callable
from enum import StrEnum

from proxy.errors import unavailable

LAST_WORDS_S = 5.0
"""How long cancelled calls may take to settle and to say goodbye."""


CROWDED = 0.75
"""From this part of its places on, the gate lets nobody in who has an equal share of them already."""
BACK_S = 1.0
"""When a newcomer who was turned away should come again: many calls are over by then."""


class Why(StrEnum):
    """What a newcomer was turned away for."""

    CALLS = "calls"
    """There are as many inside as there may be."""
    LAG = "lag"
    """The loop is late."""


def _unheard(_why: Why) -> None:
    """Nobody counts those who are turned away."""


def _in_time() -> bool:
    """Nobody looks whether the loop is late."""
    return False


class Gate:
    """Live calls, and whether new ones are let in: at most so many at once, or all who come."""

    def __init__(
        self,
        most: int | None = None,
        shed: Callable[[Why], None] = _unheard,
        late: Callable[[], bool] = _in_time,
    ) -> None:
        self._most = math.inf if most is None else most
        self._crowded = self._most * CROWDED
        self._shed = shed
        self._late = late
        self._inside: dict[asyncio.Task[object], str] = {}
        self._tenants: dict[str, int] = {}
        self.draining = False
        """Whether new calls are turned away."""
        self.cut = False
        """Whether the calls still inside have been told to stop."""
        self._quiet = asyncio.Event()
        self._listeners: set[Callable[[], None]] = set()

    @property
    def live(self) -> int:
        """Calls inside."""
        return len(self._inside)

    def enter(self, tenant: str) -> asyncio.Task[object]:
        """Let this task in, until it says `leave`. Raises `Refused` where it is closed, full or late.

        Late, it still lets in who finds nobody inside: it may be late for another reason than its calls.
        """
        if self.draining:
            self.demand_open()
        if len(self._inside) >= self._crowded and not self._has_room(tenant):
            self._shed(Why.CALLS)
            raise unavailable("The proxy has too many calls just now.", "overloaded", retry_after_s=BACK_S)
        if self._inside and self._late():
            self._shed(Why.LAG)
            raise unavailable("The proxy has too much to do just now.", "overloaded", retry_after_s=BACK_S)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("the gate counts tasks")
        self._inside[task] = tenant
        self._tenants[tenant] = self._tenants.get(tenant, 0) + 1
        return task

    def demand_open(self) -> None:
        """Raises `Refused` where the gate is closed."""
        if self.draining:
            raise unavailable("The proxy is shutting down.", "draining", retry_after_s=1)

    def tell(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when the gate closes: it keeps something open in which nobody is inside."""
        self._listeners.add(listener)

    def untell(self, listener: Callable[[], None]) -> None:
        """It need not know any more."""
        self._listeners.discard(listener)

    def leave(self, task: asyncio.Task[object]) -> None:
        """The task that was let in is done."""
        tenant = self._inside.pop(task)
        own = self._tenants[tenant] = self._tenants[tenant] - 1
        if not own:
            del self._tenants[tenant]
        if self.draining:
            self._hush()

    def close(self) -> None:
        """Let nobody in any more; from here on `/readyz` fails."""
        if not self.draining:
            self.draining = True
            for listener in tuple(self._listeners):
                listener()
        self._hush()

    def hurry(self) -> None:
        """Stop waiting: the second SIGTERM."""
        self._quiet.set()

    async def drain(self, patience_s: float) -> None:
        """Close, wait for the calls inside, then cancel those that are left and await their end."""
        self.close()
        try:
            async with asyncio.timeout(patience_s):
                await self._quiet.wait()
        except TimeoutError:
            pass
        self.cut = True
        left = tuple(self._inside)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=LAST_WORDS_S)

    def _has_room(self, tenant: str) -> bool:
        """Whether one more call of `tenant` may come in. Crowded, nobody gets more than an equal share."""
        if len(self._inside) >= self._most:
            return False
        own = self._tenants.get(tenant, 0)
        return own * (len(self._tenants) + (own == 0)) < self._most

    def _hush(self) -> None:
        if not self._inside:
            self._quiet.set()
