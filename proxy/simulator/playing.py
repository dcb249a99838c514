"""One call to a simulated upstream as steps: what is sent, after how long, and where it breaks off.

Pure. `server.py` carries the steps out on a socket, `proxy/rehearsal` on a clock of its own, so that
there is one account of how upstreams fail. What is answered comes from the request alone.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.simulator.answers import say
from proxy.simulator.manners import Refusal
from proxy.simulator.script import Do, Scene
from proxy.simulator.tongue import Answer, Tongue

KEEP_ALIVE = b": keep-alive\n\n"
JSON: Mapping[str, str] = {"content-type": "application/json"}
EVENTS: Mapping[str, str] = {"content-type": "text/event-stream; charset=utf-8"}
STILL = 3600.0
"""Seconds of silence of a stalled answer: longer than anybody waits."""
GARBAGE: Mapping[str, tuple[str, bytes]] = {
    "html": ("text/html; charset=utf-8", b"<html><body>Please log in to the network.</body></html>"),
    "empty": ("application/json", b""),
    "json": ("application/json", b'{"hello": "world"}'),
    "truncated": ("application/json", b'{"id": "chatcmpl-sim", "choices": [{"ind'),
}


class Head(Struct, frozen=True):
    """The status line and the headers."""

    status: int
    headers: Mapping[str, str]
    length: int | None = None
    """Bytes of the body, where that is told beforehand."""


class Pause(Struct, frozen=True):
    """Nothing happens for so long."""

    seconds: float


class Cut(Struct, frozen=True):
    """The connection breaks as that of a crashed server does: no end follows."""


Step = Head | Pause | Cut | bytes
"""Bytes are of the body."""


class Request(Struct, frozen=True):
    """What reached a simulated upstream."""

    name: str
    """Of the upstream."""
    spoken: Tongue
    data: bytes
    elsewhere: Mapping[str, Any]
    """Members of the body that this vendor writes elsewhere."""
    elapsed_s: float
    """Since the script began."""


class Cast:
    """All simulated upstreams: their calls are counted, their answers have ids."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._ids = itertools.count(1)

    def begin_anew(self) -> None:
        """Another script is in force, whose first call is yet to come."""
        self._calls.clear()

    def play(self, request: Request, act: Callable[[str, Scene], Do]) -> Iterator[Step]:
        """Answer `request` as `act` says of it."""
        spoken = request.spoken
        try:
            body = orjson.loads(request.data)
        except orjson.JSONDecodeError:
            body = None
        refusal = spoken.judge(body)
        if refusal is not None:
            yield from _told(spoken.shape(refusal), refusal.status)
            return
        body |= request.elsewhere
        name = request.name
        self._calls[name] += 1
        scene = Scene(
            number=self._calls[name],
            elapsed_s=request.elapsed_s,
            model=str(body.get("model") or ""),
            stream=body.get("stream") is True,
        )
        do = act(name, scene)
        if do.delay:
            yield Pause(do.delay)
        refusal = _refusal(do, spoken)
        if do.reset:
            yield Cut()
        elif refusal is not None:
            headers = {} if do.retry_after is None else {"retry-after": f"{do.retry_after:g}"}
            yield from _told(spoken.shape(refusal), refusal.status, headers)
        elif do.garbage is not None:
            kind, data = GARBAGE[do.garbage]
            yield Head(200, {"content-type": kind}, len(data))
            yield data
        else:
            said = say(name, spoken.as_chat(body), do)
            answer = spoken.answer(f"{name}-{next(self._ids)}", body, said)
            yield from (_stream if scene.stream else _whole)(do, spoken, answer)


def nothing_there() -> Iterator[Step]:
    """What a server says of a path that it does not know."""
    return _told({"error": "Not Found"}, 404)


def _refusal(do: Do, spoken: Tongue) -> Refusal | None:
    if do.error is None:
        return None if do.status is None else spoken.of_status(do.status)
    told = spoken.errors[do.error]
    return told if do.status is None else replace(told, status=do.status)


def _told(body: Mapping[str, Any], status: int, headers: Mapping[str, str] = JSON) -> Iterator[Step]:
    data = orjson.dumps(body)
    yield Head(status, {**JSON, **headers}, len(data))
    yield data


def _whole(do: Do, spoken: Tongue, answer: Answer) -> Iterator[Step]:
    if do.stall is not None:
        yield Pause(STILL)
    if do.first_token:
        yield Pause(do.first_token)
    if do.error_event is not None:
        yield from _told(spoken.shape(spoken.errors["server"]), 200)
        return
    body = answer.whole()
    yield Head(200, JSON, len(body))
    if do.cut is None:
        yield body
    else:
        yield body[: len(body) // 2]
        yield Cut()


def _stream(do: Do, spoken: Tongue, answer: Answer) -> Iterator[Step]:
    first_s = do.first_token or 0.0
    early = spoken.early or (do.keep_alive is not None and first_s > do.keep_alive)
    if early:
        yield Head(200, EVENTS)
    yield from _silence(do, first_s)
    if not early:
        yield Head(200, EVENTS)
    for number, event in enumerate(answer.events()):
        if number:
            yield from _silence(do, do.chunk_delay or 0.0)
        if number == do.cut:
            yield Cut()
            return
        if number == do.stall:
            yield from _silence(do, STILL)
        if number == do.error_event:
            yield spoken.error_event()
            return
        yield event
    if not do.no_done:
        yield answer.done


def _silence(do: Do, seconds: float) -> Iterator[Step]:
    """Say nothing for so long, but for comments where the script wants them."""
    every = do.keep_alive
    while every is not None and seconds > every:
        yield Pause(every)
        yield KEEP_ALIVE
        seconds -= every
    if seconds:
        yield Pause(seconds)
