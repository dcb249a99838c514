"""What a caller says over a WebSocket: the frame of a request becomes a request like any other.

`conversation.py` comes here with each text. A frame is parsed once, within the limits of a body, and what
it holds is a body of a chat completion and the headers that one call may have. Everything wrong with it
is a `CallerFault`; no message repeats what the caller wrote.
"""

from typing import Any

import orjson
from msgspec import Struct

from proxy.errors import CallerFault, bad_request
from proxy.question import HEADER as ONCE
from proxy.server.calls import Body, parsed
from proxy.server.preference import MODEL, UPSTREAM
from proxy.server.request import Headers, Request
from proxy.server.visit import Limits, Visit
from proxy.wire import body as wire_body

STOP_BYTES = 256
"""A longer text is no `stop`, so that not every prompt is parsed twice to see that."""
OF_ALL = frozenset({*UPSTREAM, *MODEL, "x-user-consent", "x-request-timeout", "x-session-id"})
"""Headers of the handshake that are true of every call over it, unless its frame says otherwise."""
OF_ONE = OF_ALL | {ONCE}
"""Headers that a frame may say for its call."""
MEMBERS = frozenset({"type", "headers", "body"})


class Spoken(Struct, frozen=True):
    """A request that came in a frame."""

    request: Request
    """Its headers; it has no bytes."""
    body: dict[str, Any]
    size: int
    shows_usage: bool
    """Whether the caller wants the chunk that tells the usage."""

    def __repr__(self) -> str:
        """Nothing of what is said."""
        return f"Spoken({self.size} bytes)"

    async def read(self, visit: Visit) -> Body:
        """The body, which is there."""
        return self.body, self.size


def is_stop(text: bytes) -> bool:
    """Whether a text hangs up on the call under way."""
    if len(text) > STOP_BYTES:
        return False
    try:
        return bool(orjson.loads(text) == {"type": "stop"})
    except ValueError:
        return False


async def understood(text: bytes, handshake: Headers, limits: Limits) -> Spoken:
    """The request in a text. Raises `CallerFault`."""
    frame = await parsed(text, wire_body.decode)
    if frame.get("type") != "request":
        raise _bad_frame("A frame's type must be 'request' or 'stop', and a 'stop' has nothing else.", "type")
    if not frame.keys() <= MEMBERS:
        raise _bad_frame("The frame of a request has a type, headers and a body, and nothing else.")
    body, headers = frame.get("body"), frame.get("headers")
    if not isinstance(body, dict):
        raise _bad_frame("'body' must be an object: the body of a chat completion.", "body")
    wire_body.check(body)
    if body.get("stream") is False:
        raise bad_request("Over a WebSocket every answer is a stream.", param="stream", code="invalid_value")
    request = Request(limits.body_bytes, _nothing)
    request.headers = _headers({} if headers is None else headers, handshake)
    options = body.get("stream_options") or {}
    whole = {**body, "stream": True, "stream_options": {**options, "include_usage": True}}
    return Spoken(request, whole, len(text), options.get("include_usage") is True)


def _headers(said: Any, handshake: Headers) -> Headers:
    """The headers of one call: what its frame says, and else what the handshake said for all."""
    if not isinstance(said, dict):
        raise _bad_frame("'headers' must be an object: names of headers, and a text for each.", "headers")
    lowered = {name.lower(): value for name, value in said.items()}
    if len(lowered) < len(said):
        raise _bad_frame("'headers' must not name a header twice.", "headers")
    said = lowered
    if not said.keys() <= OF_ONE:
        raise _bad_frame(f"A frame may have the headers {', '.join(sorted(OF_ONE))}.", "headers")
    headers = Headers()
    for name, value in said.items():
        if not isinstance(value, str):
            raise _bad_frame(f"'headers.{name}' must be a text.", "headers")
        headers.add(name.encode(), value.encode())
    for name in OF_ALL - said.keys():
        for text in handshake.all(name):
            headers.add(name.encode(), text.encode("utf-8", "surrogateescape"))
    return headers


def _bad_frame(message: str, param: str | None = None) -> CallerFault:
    return bad_request(message, param=param, code="bad_frame")


def _nothing() -> None:
    """Nobody waits to be asked for a body that is there."""
