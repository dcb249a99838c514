"""What all connections of one listener share: the door, the limits, the date, and who is here.

`listeners.py` makes one for each listener and closes it at the end. It answers nothing itself.
"""

import asyncio
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, Protocol

from proxy.ports import Clock, Dice
from proxy.server.request import Request
from proxy.server.shapes import SERVER, new_request_id
from proxy.server.visit import Limits, Line

MICRO = 1_000_000


class Guest(Line, Protocol):
    """A connection, as its site sees it."""

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        ...


Work = Callable[[Line, Request], Coroutine[Any, Any, None]]


class Site:
    """One listener's connections."""

    def __init__(self, door: Work, limits: Limits, clock: Clock, dice: Dice) -> None:
        self.answer = door
        """Answers one request."""
        self._clock = clock
        self._dice = dice
        self._here: set[Guest] = set()
        self._empty = asyncio.Event()
        self._stale = 0.0
        """From when on the date is another (monotonic seconds)."""
        self._own = b""
        self.limits = limits

    def new_id(self) -> str:
        """An id for a request that never reached the door."""
        return new_request_id(self._clock, self._dice)

    def own(self) -> bytes:
        """The lines of every answer's head that do not depend on it; made once a second.

        The date is now, as HTTP writes it (RFC 9110, 5.6.7).
        """
        now = self._clock.mono()
        if now >= self._stale:
            second, past = divmod(self._clock.wall_us(), MICRO)
            date = formatdate(second, usegmt=True)
            self._stale = now + (MICRO - past) / MICRO
            self._own = b"%bdate: %b\r\n" % (SERVER, date.encode())
        return self._own

    def enter(self, guest: Guest) -> None:
        """A connection was made."""
        self._here.add(guest)

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        self._here.discard(guest)
        if not self._here:
            self._empty.set()

    async def close(self, patience_s: float) -> None:
        """Close who is idle at once, and the others when they are done or have had their chance."""
        for guest in tuple(self._here):
            if guest.idle:
                guest.close()
        self._empty.clear()
        if self._here:
            try:
                async with asyncio.timeout(patience_s):
                    await self._empty.wait()
            except TimeoutError:
                for guest in tuple(self._here):
                    guest.abort()
