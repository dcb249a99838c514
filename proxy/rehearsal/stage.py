"""The `Upstreams` port of a rehearsal: every upstream of the table, played by the simulator, in the process.

What would have been sent is judged as strictly as its vendor would, and what comes back are the vendor's
own bytes, so that the real readers are at work. No socket is opened and no key is needed. What goes
wrong, and when, is the script's word.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from proxy.call import Kind, Phase, Signal, UpstreamLost, UpstreamRequest
from proxy.flow import poured
from proxy.policy.matching import fits
from proxy.ports import Sink
from proxy.rehearsal.grammar import ActPart, Does, HealthyPart
from proxy.rehearsal.script import Script
from proxy.simulator.languages import language, part_for
from proxy.simulator.playing import Cast, Cut, Head, Pause, Request, Step, nothing_there
from proxy.simulator.script import Do, Scene, matches
from proxy.table import Upstream

LENGTH = re.compile(rb"Count to (\d+)\.")
"""How callers say what they want to be told; the last one in a request counts."""

REFUSED = Signal(Kind.UNREACHABLE, Phase.CONNECT, detail="refused")
CLOSED = Signal(Kind.RESET, Phase.SENT, detail="closed")
USUAL = HealthyPart()


class Stage:
    """Plays every upstream of a table."""

    def __init__(self, script: Script, hour: Callable[[], float]) -> None:
        self._script = script
        self._hour = hour
        self._cast = Cast()
        self._calls: dict[tuple[int, str], int] = {}
        """How many calls of an upstream each act has met."""

    @asynccontextmanager
    async def send(self, upstream: Upstream, request: UpstreamRequest) -> AsyncIterator["Played"]:
        """The answer whose head has come. Raises `UpstreamLost`."""
        path = request.path.partition("?")[0].removeprefix("/").removeprefix("v1/")
        found = language(path, part_for(upstream))
        played = Played()
        if found is None:
            steps = nothing_there()
        else:
            tokens = LENGTH.findall(request.body)
            asked = Request(upstream.name, found.spoken, request.body, found.elsewhere, self._hour())
            steps = self._cast.play(asked, lambda name, scene: self._act(name, scene, tokens, played))
        await played.begin(steps)
        yield played

    def _act(self, name: str, scene: Scene, tokens: list[bytes], played: "Played") -> Do:
        """What happens to a call: what is wrong with its upstream now, on top of its usual manners."""
        manners = self._manners(name)
        usual: dict[str, Any] = {
            "delay": manners.round_trip,
            "first_token": manners.first_token,
            "chunk_delay": manners.chunk_delay,
        }
        if tokens:
            usual["tokens"] = int(tokens[-1])
        if tokens and not scene.stream:  # its first word comes with its last
            usual["first_token"] += int(tokens[-1]) * manners.chunk_delay
        wrong = self._wrong(name, scene)
        told = {} if wrong is None else {key: getattr(wrong, key) for key in wrong.model_fields_set}
        if told.pop("unreachable", False):
            played.lost, told["reset"] = REFUSED, True
        return Do.model_construct(None, **(usual | told))

    def _manners(self, name: str) -> HealthyPart:
        healthy = self._script.healthy
        return next((manners for glob, manners in healthy.items() if fits(glob, name)), USUAL)

    def _wrong(self, name: str, scene: Scene) -> Does | None:
        """The first act that is on for this call; each counts those it might be for."""
        for number, act in enumerate(self._script.acts):
            if not is_on(act, name, scene.elapsed_s):
                continue
            met = self._calls[(number, name)] = self._calls.get((number, name), 0) + 1
            seen = scene.model_copy(update={"number": met, "elapsed_s": scene.elapsed_s - act.at})
            if matches(act.when, seen):
                return act.does
        return None


def is_on(act: ActPart, name: str, now: float) -> bool:
    """Whether an act is played with an upstream at a moment."""
    return (
        act.at <= now
        and (act.lasts is None or now < act.at + act.lasts)
        and any(fits(glob, name) for glob in act.upstream)
        and not any(fits(glob, name) for glob in act.but)
    )


class Played:
    """The `UpstreamAnswer` port, played step by step."""

    def __init__(self) -> None:
        self.lost = CLOSED
        """What it means if the connection breaks before there is a head."""
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._steps: Iterator[Step] = iter(())

    async def begin(self, steps: Iterator[Step]) -> None:
        """Play up to the head. Raises `UpstreamLost`."""
        self._steps = steps
        for step in steps:
            match step:
                case Pause():
                    await asyncio.sleep(step.seconds)
                case Cut():
                    raise UpstreamLost(self.lost)
                case Head():
                    self.status, self.headers = step.status, step.headers
                    return
                case _:
                    raise AssertionError("a body before its head")

    async def pour(self, sink: Sink) -> None:
        await poured(self._pieces(), sink)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        for step in self._steps:
            match step:
                case Pause():
                    await asyncio.sleep(step.seconds)
                case Cut():
                    raise UpstreamLost(replace(CLOSED, phase=Phase.HEADERS, status=self.status))
                case bytes():
                    yield step
                case _:
                    raise AssertionError("a second head")

    async def whole(self, limit: int) -> bytes:
        body = b"".join([piece async for piece in self._pieces()])
        if len(body) > limit:
            raise UpstreamLost(Signal(Kind.BAD_ANSWER, Phase.HEADERS, self.status, detail="answer too large"))
        return body

    async def start(self, limit: int) -> bytes:
        return b"".join([piece async for piece in self._pieces()])[:limit]
