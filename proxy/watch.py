"""One timer for all the deadlines of an attempt, or for one of something else.

An attempt has a first-token, an idle and a total deadline, and a stream moves the idle one with
every event. Arming a timer per event would cost more than relaying it, so the watch keeps one timer
and a due time that may move: a timer that fires early just sleeps again. `relay.py` watches attempts with
it, `server/calls.py` bodies that arrive.
"""

import asyncio
from types import TracebackType
from typing import Self

from proxy.policy.places import Turn

NEVER = float("inf")


class Watch:
    """Cancels the current task at `due` and turns that cancellation into `TimeoutError`.

    A cancellation that comes from elsewhere (the caller hung up) passes through untouched, even if
    both happen at once.
    """

    __slots__ = ("_before", "_due", "_handle", "_idle_s", "_loop", "_task", "_when", "late", "stirred")

    def __init__(self, due: float) -> None:
        self.late = False
        """Whether the deadline has passed and the task was told so."""
        self.stirred = 0.0
        """When something last came, for `idle`: whoever sees it come writes it here, and that is all."""
        self._due = due
        self._idle_s = NEVER
        self._when = NEVER
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a watch needs a task to watch")
        self._task = task
        self._before = task.cancelling()
        self._arm(self._due)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        task = self._task
        del self._task  # which keeps what ended it, and so whoever keeps this watch
        over = self.late and task.uncancel() <= self._before
        del task
        if over and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, due: float) -> None:
        """Set a new due time (loop time, seconds; `NEVER` while a slow caller is waited for)."""
        self._due, self._idle_s = due, NEVER
        if due < self._when:
            self._arm(due)

    def idle(self, idle_s: float, now: float, last: float) -> None:
        """From now on it is due once nothing `stirred` for so long, and at `last` in any case."""
        self._due, self._idle_s, self.stirred = last, idle_s, now
        due = min(now + idle_s, last)
        if due < self._when:
            self._arm(due)

    def _arm(self, due: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._when = due
        if due != NEVER:
            self._handle = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._handle = None
        due = min(self.stirred + self._idle_s, self._due)
        if self._loop.time() < due:
            self._arm(due)
            return
        self.late = True
        self._task.cancel()


async def moment_comes(until: float) -> None:
    """Wait until then (loop time, seconds) and not a hair less: before, a door may still be shut.

    Timers of a loop that counts milliseconds fire up to half of one early.
    """
    loop = asyncio.get_running_loop()
    while (left := until - loop.time()) > 0.0:  # noqa: ASYNC110  # time has no event of its own
        await asyncio.sleep(left)


async def turn_comes(turn: Turn, until: float) -> None:
    """Wait until a place is granted to `turn`, or until then (loop time, seconds)."""
    called = asyncio.Event()
    turn.wake = called.set
    try:
        async with asyncio.timeout_at(until):
            await called.wait()
    except TimeoutError:
        return
