"""The connections to one upstream: those in use, and those that wait for the next call.

`client.py` keeps one for each upstream, so that a slow one cannot starve the others. The one that
waited least is taken first; none waits longer than the least patient upstream would let it.
"""

import asyncio
from collections import deque

from proxy.upstream.connection import Connection
from proxy.upstream.reaching import Place

IDLE_S = 4.0
"""vLLM closes an idle connection after 5 s, others later: below it, a pooled one is alive."""


class Pool:
    """Connections to one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._loop = asyncio.get_running_loop()
        self._live: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self.making = 0
        """How many are being made."""

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost with it."""
        return not self._live and not self.making

    @property
    def idle(self) -> int:
        """How many wait."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many are in use."""
        return len(self._live) - len(self._idle)

    def make(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self)

    def take(self) -> Connection | None:
        """One that waited and is still open."""
        now = self._loop.time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        return None

    def close(self) -> None:
        """Close all, those in use too."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in tuple(self._live):
            connection.close()

    def enter(self, connection: Connection) -> None:
        """Keep count of one that was made for us.

        Not before whoever asked for it has it: a loop that is cancelled while it makes one may never tell
        of its end.
        """
        self._live.add(connection)

    def freed(self, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_S, self._sweep_out)

    def closed(self, connection: Connection) -> None:
        self._live.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _sweep_out(self) -> None:
        """Close who waited too long; look again while any waits."""
        now = self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= IDLE_S:
            self._idle.popleft().close()
        self._sweep = None
        if self._idle:
            due = self._idle[0].idle_since + IDLE_S
            self._sweep = self._loop.call_at(due, self._sweep_out)
