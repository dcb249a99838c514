"""The way out: whoever is asked does what the weather says, and the referee hears of it."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson

from proxy.call import Signal, UpstreamLost, UpstreamRequest
from proxy.flow import poured
from proxy.ports import Sink
from proxy.table import Upstream
from tests.kit.scripted_ports import STALL, Pause
from tests.simulation.referee import Referee
from tests.simulation.visits import VISIT, Try
from tests.simulation.weather import GOOD, STALLED_S, WELL, Weather, script

MIDSTREAM = frozenset({"stall", "cut", "cut in event", "malformed", "no finish", "late error"})
"""Kinds that need something to have been said."""
FROM_THE_START = frozenset({"head late", "silent", "pings"})
"""Kinds that are at fault as soon as they are asked."""


class SimulatedAnswer:
    """The UpstreamAnswer port."""

    def __init__(self, attempt: Try) -> None:
        self._try = attempt
        self._steps = attempt.script.steps
        self.status = attempt.script.status
        self.headers: Mapping[str, str] = attempt.script.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        attempt, left = self._try, len(self._steps)
        for step in self._steps:
            left -= 1
            if isinstance(step, Pause):
                await asyncio.sleep(step.s)
            elif isinstance(step, Signal):
                attempt.faulted = True
                raise UpstreamLost(step)
            elif step is STALL:
                attempt.faulted = True
                await asyncio.sleep(STALLED_S)
            else:
                if not left:
                    self._felt()
                yield step
        self._felt()

    def _felt(self) -> None:
        """The last of it is read now."""
        good = self._try.script.kind in GOOD
        self._try.complete, self._try.faulted = good, not good

    async def pour(self, sink: Sink) -> None:
        await poured(self.chunks(), sink)

    async def whole(self, limit: int) -> bytes:
        return b"".join([data async for data in self.chunks()])

    async def start(self, limit: int) -> bytes:
        self._try.faulted = True
        return (await self.whole(limit))[:limit]


class SimulatedUpstreams:
    """The Upstreams port of the whole world; `open` counts bodies still held."""

    def __init__(self, weather: Mapping[str, Weather], referee: Referee, dice: random.Random) -> None:
        self.weather = weather
        self.open = 0
        self._referee = referee
        self._dice = dice

    @asynccontextmanager
    async def send(self, upstream: Upstream, request: UpstreamRequest) -> AsyncIterator[SimulatedAnswer]:
        attempt = self._asked(upstream, orjson.loads(request.body))
        said = attempt.script
        self.open += 1
        attempt.open = True
        try:
            attempt.faulted = said.kind in FROM_THE_START
            await asyncio.sleep(said.before_s)
            if said.signal is not None:
                attempt.faulted = True
                raise UpstreamLost(said.signal)
            yield SimulatedAnswer(attempt)
        finally:
            self.open -= 1
            attempt.open = False

    def _asked(self, upstream: Upstream, body: dict) -> Try:
        """Draw what this attempt meets."""
        visit = VISIT.get()
        prefix = body["messages"][-1]["content"] if body["messages"][-1]["role"] == "assistant" else ""
        words = visit.words(prefix, self._dice)
        kind = self.weather[upstream.name].kind(self._referee.trace.now())
        if kind in MIDSTREAM and not words:
            kind = WELL
        drawn = script(kind, words, self._dice, stream=visit.call.stream)
        return self._referee.sent(visit, upstream, body["model"], prefix, (drawn, prefix + "".join(words)))
