"""A WebSocket over a real port, with a client that is not ours."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp

from proxy.errors import Told
from proxy.wire.failure import error_event
from tests.server.running import CHAT, KEY

MASK = b"\x37\xfa\x21\x3d"
PATH = "/v1/chat/stream"
HEADS = {"x-fallthrough-upstream": "openai", "x-fallthrough-model": "gpt-4o-2024"}


def event(content, **members):
    """One chunk of a stream, as the story says it."""
    chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": content}}]}
    return b"data: " + json.dumps(chunk | members).encode() + b"\n\n"


LAST = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)


async def greeting(caller, call):
    """A short stream."""
    await caller.start(200, {**HEADS, "x-request-id": call.id, "x-ratelimit-remaining-requests": "7"})
    caller.write(event("Hel"))
    caller.write(event("lo") + LAST)
    await caller.finish()


class Held:
    """A story that says one thing and then waits."""

    def __init__(self, *, begin=True):
        self.begin = begin
        self.inside = asyncio.Event()
        self.go = asyncio.Event()
        self.gone = None

    async def __call__(self, caller, call):
        try:
            if self.begin:
                await caller.start(200, {**HEADS, "x-request-id": call.id})
                caller.write(event("one"))
            self.inside.set()
            await self.go.wait()
        except asyncio.CancelledError:
            self.gone = caller.gone
            if not self.gone and self.begin:
                caller.write(error_event(Told(503, "over", "server_error", "shutdown")))
                caller.abort()
            raise
        if not self.begin:
            await caller.start(200, HEADS)
        caller.write(LAST)
        await caller.finish()


def request(body=None, **headers):
    """The frame of a request."""
    frame = {"type": "request", "body": {**CHAT, **(body or {})}}
    return frame | ({"headers": headers} if headers else {})


def masked(op, data=b"", *, last=True):
    """A frame as a client sends it."""
    first, size = bytes(((0x80 if last else 0) | op,)), len(data)
    if size < 126:
        head = first + bytes((0x80 | size,))
    elif size < 65_536:
        head = first + b"\xfe" + size.to_bytes(2)
    else:
        head = first + b"\xff" + size.to_bytes(8)
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(data))


@asynccontextmanager
async def connected(house, *, headers=None, **options):
    """A WebSocket with a key in its headers, unless it says otherwise."""
    if headers is None:
        headers = {"Authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{house.port()}{PATH}"
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, headers=headers, **options) as socket:
            yield socket


async def frames(socket):
    """All frames of one call."""
    found = []
    while not found or found[-1]["type"] not in {"complete", "error"}:
        found.append(await socket.receive_json())
    return found


async def said(socket, frame):
    """What is answered to one frame."""
    await socket.send_json(frame)
    return await frames(socket)
