"""Whoever calls: hangs up, reads slowly, and believes nothing that it is told twice.

Every byte is judged as it comes. Before the first content there is nothing at all; from then on the text is
a beginning of one answer, said once, from one head; and the end is either a whole answer and `[DONE]`, or
an error event and no `[DONE]`.
"""

import asyncio
from collections.abc import Generator, Mapping
from typing import Any

import orjson

from tests.simulation.trace import Trace
from tests.simulation.visits import Visit


class SlowReader:
    """What a full buffer makes the story wait for."""

    def __init__(self, visit: Visit, seconds: float) -> None:
        self._visit = visit
        self._seconds = seconds

    def __await__(self) -> Generator[Any, None, None]:
        self._visit.slept += self._seconds
        yield from asyncio.sleep(self._seconds).__await__()


class SimulatedCaller:
    """The Caller port."""

    def __init__(self, visit: Visit, trace: Trace, slow_s: float) -> None:
        self.visit = visit
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.done = False
        self.broken = False
        self.finished = False
        self.aborted = False
        self.durable = lambda: True
        """Whether a crash now would leave the call in the ledger."""
        self._trace = trace
        self._slow_s = slow_s
        self._id: str | None = None
        self._roles = 0
        self._ended = False

    @property
    def gone(self) -> bool:
        return self.visit.gone

    @property
    def _dead(self) -> bool:
        return self.visit.life.dead

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        if self._dead:
            return
        trace, visit = self._trace, self.visit
        trace.demand(self.status is None, "one status line for", visit.call.id)
        trace.demand(
            self.durable(), "nothing is shown of a call that a crash could make unheard of", visit.call.id
        )
        self.status, self.headers = status, headers
        visit.begun = trace.now()
        trace.say("begun", visit.call.id, headers["x-fallthrough-upstream"])

    def write(self, data: bytes) -> SlowReader | None:
        if self._dead:
            return None
        trace, call = self._trace, self.visit.call.id
        if self.gone:
            raise asyncio.CancelledError
        trace.demand(self.status is not None, "the status line comes first", call)
        trace.demand(not self.finished, "nothing comes after the end", call)
        if self.visit.call.stream:
            self._events(data)
        else:
            self.visit.shown += orjson.loads(data)["choices"][0]["message"]["content"]
            self._is_beginning()
        return SlowReader(self.visit, self._slow_s) if self._slow_s else None

    async def finish(self) -> None:
        if self._dead:
            return
        trace, visit = self._trace, self.visit
        if self.gone:
            raise asyncio.CancelledError
        trace.demand(not self.finished, "an answer ends once", visit.call.id)
        self.finished = True
        if visit.call.stream:
            trace.demand(self.done is not self.broken, "an answer ends whole or broken", visit.call.id)
        if not self.broken:
            self._is_whole()
        trace.say("finished", visit.call.id, "broken" if self.broken else "whole")

    def abort(self) -> None:
        self.aborted = True

    def _events(self, data: bytes) -> None:
        trace, call = self._trace, self.visit.call.id
        trace.demand(data.endswith(b"\n\n") or not data, "only whole events are sent", call)
        for block in data.split(b"\n\n"):
            if not block:
                continue
            trace.demand(not (self.done or self.broken), "nothing comes after the last event", call)
            if block == b"data: [DONE]":
                self.done = True
                trace.demand(self._ended, "no [DONE] without a finish", call)
                self._is_whole()
                continue
            chunk = orjson.loads(block.removeprefix(b"data: "))
            if "error" in chunk:
                self.broken = True
                trace.demand(self.visit.shown, "what fails before any content is mended in silence:", call)
                trace.say("told", call, chunk["error"]["code"])
            else:
                self._chunk(chunk)
        self._is_beginning()
        shown = self.visit.shown or self.done
        trace.demand(shown, "nothing is sent before the first content:", call)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        trace, call = self._trace, self.visit.call.id
        self._id = self._id or chunk["id"]
        trace.demand(chunk["id"] == self._id, "an answer has one head", call)
        for choice in chunk["choices"]:
            trace.demand(not self._ended, "nothing is said after the finish", call)
            delta = choice["delta"]
            self._roles += "role" in delta
            trace.demand(self._roles == 1, "a role is said once, and first", call)
            self.visit.shown += delta.get("content") or ""
            self._ended = choice["finish_reason"] is not None

    def _is_beginning(self) -> None:
        """No splice: one upstream's answer, or one that was declared to go on with it, begins like this."""
        visit = self.visit
        if not any(one.answer.startswith(visit.shown) for one in visit.tries if one.script):
            said = [one.answer for one in visit.tries]
            self._trace.fail("the text is a beginning of one answer:", repr(visit.shown), "of", said)

    def _is_whole(self) -> None:
        visit = self.visit
        if not any(one.answer == visit.shown and one.script.good for one in visit.tries if one.script):
            said = [(str(one), one.answer) for one in visit.tries]
            self._trace.fail("a clean end means a whole answer:", repr(visit.shown), "of", said)
