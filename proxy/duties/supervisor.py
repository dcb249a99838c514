"""The supervisor: keeps named duties running.

`app.py` opens `supervised` around the time it serves. A duty that raises is logged and started again
after a growing pause; a duty that returns is done. It is one of the few places that catch everything
(`docs/ARCHITECTURE.md` lists them), because a broken duty must never take the calls down with it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from msgspec import Struct

from proxy.ports import Clock

log = logging.getLogger("proxy.duties")

PAUSE_S = 1.0
"""After the first fall; doubled with each that follows, up to `PAUSE_MAX_S`."""
PAUSE_MAX_S = 60.0

Sleep = Callable[[float], Awaitable[object]]


class Duty(Struct, frozen=True):
    """One piece of background work."""

    name: str
    run: Callable[[], Awaitable[None]]
    """Called anew after every fall."""


@asynccontextmanager
async def supervised(duties: Iterable[Duty], *, clock: Clock, sleep: Sleep) -> AsyncIterator[None]:
    """Run `duties` for as long as the context is open."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keep(duty, clock, sleep), name=f"duty {duty.name}") for duty in duties]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def keep(duty: Duty, clock: Clock, sleep: Sleep) -> None:
    """Run one duty until it is done, however often it falls."""
    pause_s = PAUSE_S
    while True:
        began = clock.mono()
        try:
            await duty.run()
        except Exception:  # a duty's defect is told and outlived, never spread
            log.exception(
                "duty fell; it will be started again", extra={"duty": duty.name, "pause_s": pause_s}
            )
        else:
            return
        if clock.mono() - began > PAUSE_MAX_S:
            pause_s = PAUSE_S
        await sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
