"""Who calls in a rehearsal: when, for whom, for what, and what they make of what they get.

Each asks to be told the numbers up to one that it names, so that a word which is lost, doubled or another's
is seen at once. A caller reads as fast as the script says, and leaves when its patience is at an end.
"""

import asyncio
import math
from bisect import bisect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import orjson
from msgspec import Struct

from proxy.call import Call, Identity
from proxy.ports import Clock, Dice
from proxy.rehearsal.script import Script

BUFFER_EVENTS = 256
"""Events that wait between the proxy and a slow reader before the proxy notices."""
FILLING = "word "
TOKEN_BYTES = 4
"""What the simulator takes for a token of a prompt."""

WHOLE, BROKEN, GARBLED, LEFT = "whole", "broken", "garbled", "left"
"""What can become of a call that got no error in place of an answer."""


class Arrival(Struct, frozen=True):
    """One call, before it comes."""

    at: float
    call: Call
    words: int
    """What it asks to be counted to."""


def arrivals(script: Script, clock: Clock, dice: Dice) -> Iterator[Arrival]:
    """All calls, in the order in which they come: at random, so that they meet and leave gaps."""
    load = script.load
    began = clock.wall_us() // 1_000_000
    at = 0.0
    while True:
        at -= math.log(1.0 - dice.roll()) / load.calls
        if at >= load.lasts:
            return
        tenant = _drawn(load.tenants, dice)
        user = f"{tenant}/user-{int(dice.roll() * load.users)}" if load.users else None
        model = _drawn(script.models, dice)
        words, prompt = load.answer.at(dice.roll()), load.prompt.at(dice.roll())
        stream = dice.roll() < load.streams
        body = _body(model, prompt, words, stream=stream)
        call = Call(
            id=f"req_{dice.token()}",
            created=began + int(at),
            identity=Identity(tenant, f"key-of-{tenant}", user),
            model=model,
            body=body,
            prompt_bytes=len(orjson.dumps(body)),
            stream=stream,
            include_usage=False,
            consent=load.consent,
        )
        yield Arrival(at, call, words)


def _drawn(mix: Mapping[str, int], dice: Dice) -> str:
    """One of the names, each as likely as its weight."""
    bounds = tuple(accumulate(mix.values()))
    return tuple(mix)[min(bisect(bounds, dice.roll() * bounds[-1]), len(mix) - 1)]


def _body(model: str, prompt: int, words: int, *, stream: bool) -> dict[str, Any]:
    task = f"Count to {words}."
    filling = FILLING * max(0, (prompt * TOKEN_BYTES - len(task)) // len(FILLING))
    body = {"model": model, "messages": [{"role": "user", "content": filling + task}]}
    return body | {"stream": True} if stream else body


class Listener:
    """The `Caller` port: keeps what it is told, and how fast it takes it."""

    def __init__(self, reads: float | None, hour: Callable[[], float]) -> None:
        self.gone = False
        self.begun: float | None = None
        """When the first word came (of an answer that is not streamed: all of it)."""
        self.upstream: str | None = None
        self._reads = reads
        self._hour = hour
        self._heard: list[bytes] = []
        self._ended = False
        self._behind = 0.0
        """When all that was sent will have been taken."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.begun = self._hour()
        self.upstream = headers.get("x-fallthrough-upstream")

    def write(self, data: bytes) -> Awaitable[None] | None:
        self._heard.append(data)
        if self._reads is None:
            return None
        now = self._hour()
        self._behind = max(now, self._behind) + data.count(b"\n\n") / self._reads
        over_s = self._behind - now - BUFFER_EVENTS / self._reads
        return asyncio.sleep(over_s) if over_s > 0 else None

    async def finish(self) -> None:
        self._ended = True

    def abort(self) -> None:
        """Nothing more will come; what was said is no answer."""

    def verdict(self, arrival: Arrival) -> str:
        """What the caller makes of what it was told, once nothing more comes."""
        if not self._ended:
            return BROKEN
        heard = b"".join(self._heard)
        said = _streamed(heard) if arrival.call.stream else _unstreamed(heard)
        if said is None:
            return BROKEN
        text, finish = said
        right = "".join(f" {number}" for number in range(1, arrival.words + 1))
        if finish == "length":  # the route's maximum, or the model's
            return WHOLE if f"{right} ".startswith(f"{text} ") else GARBLED
        return WHOLE if text == right else GARBLED


def _unstreamed(heard: bytes) -> tuple[str, str] | None:
    choice = orjson.loads(heard)["choices"][0]
    return choice["message"]["content"] or "", choice["finish_reason"]


def _streamed(heard: bytes) -> tuple[str, str] | None:
    """The text and why it ended; None where it was not ended as it should be."""
    *events, last = [line[6:] for line in heard.split(b"\n") if line.startswith(b"data: ")] or [b""]
    if last != b"[DONE]":
        return None
    text, finish = "", ""
    for event in map(orjson.loads, events):
        for choice in event.get("choices") or ():
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
    return (text, finish) if finish else None
