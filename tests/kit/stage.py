"""Upstreams on raw sockets that play parts by themselves, and keep a log of who was asked.

One listener plays them all, told apart by the first word of the path. A part is a list of acts, one for
each attempt, the last for all that follow; an act is a list of steps: bytes to send, `Drip` to send byte by
byte, `RST`, `CUT`, or `SILENCE` until the other side leaves.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.kit.scripted import Connection, scripted

RST = object()
"""A reset, in place of an end."""
CUT = object()
"""The connection is closed before what was begun is whole."""
SILENCE = object()
"""Nothing more, until whoever asked has left."""
TOKENS = tuple(f" {number}" for number in range(1, 61))
"""What every healthy upstream says."""
TEXT = "".join(TOKENS)
PROMPT_TOKENS = 7
LAST = b"0\r\n\r\n"


@dataclass(frozen=True)
class Drip:
    """So many bytes, each of them in a piece of its own."""

    data: bytes


@dataclass(frozen=True)
class Asked:
    """One attempt, as the upstream saw it."""

    upstream: str
    body: dict[str, Any]


class Stage:
    """All upstreams of a test."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._parts: dict[str, list[list[Any]]] = {}

    def plays(self, name: str, *acts: list[Any]) -> None:
        """From now on the upstream `name` plays these."""
        self._parts[name] = list(acts)

    @property
    def order(self) -> list[str]:
        """Who was asked, in order."""
        return [asked.upstream for asked in self.asked]

    async def attend(self, connection: Connection) -> None:
        """Play for one connection, as long as it lasts."""
        try:
            while await self._act(connection, await connection.request()):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            connection.close()

    async def _act(self, connection: Connection, request: bytes) -> bool:
        """Answer one request; whether the connection goes on."""
        head, _, body = request.partition(b"\r\n\r\n")
        name = head.split(b"/", 2)[1].decode()
        self.asked.append(Asked(name, json.loads(body)))
        acts = self._parts[name]
        for step in acts.pop(0) if len(acts) > 1 else acts[0]:
            if step is RST:
                connection.rst()
                return False
            if step is CUT:
                connection.close()
                return False
            if step is SILENCE:
                await connection.eof()
                return False
            await self._say(connection, step)
        return True

    @staticmethod
    async def _say(connection: Connection, step: bytes | Drip) -> None:
        pieces = [step] if isinstance(step, bytes) else [bytes([byte]) for byte in step.data]
        for piece in pieces:
            connection.send(piece)
            await asyncio.sleep(0)  # a turn of the loop: what was sent is on its way


@asynccontextmanager
async def staged() -> AsyncIterator[tuple[Stage, int]]:
    """A stage, and the port it listens on."""
    stage, playing = Stage(), []
    async with scripted() as listener:

        async def arrivals() -> None:
            while True:
                connection = await listener.accept()
                playing.append(asyncio.create_task(stage.attend(connection)))

        door = asyncio.create_task(arrivals())
        try:
            yield stage, int(listener.url.rpartition(":")[2])
        finally:
            for task in (door, *playing):
                task.cancel()
            await asyncio.gather(door, *playing, return_exceptions=True)


# ── what upstreams say ────────────────────────────────────────────────────────────────────────────────


def answer(status: int, body: bytes, content_type: str = "application/json", **headers: str) -> list[bytes]:
    """An answer whose length is known."""
    named = {"content-type": content_type, "content-length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return [f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode() + body]


def fault(status: int, code: str | None = None, message: str = "no", **headers: str) -> list[bytes]:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return answer(status, json.dumps({"error": error}).encode(), **headers)


def opening(**headers: str) -> bytes:
    """The head of a stream, after which come chunks."""
    named = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """One chunk of HTTP around `data`."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def said(model: str, delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({**_head(model), "choices": [choice]})


def event(document: Any) -> bytes:
    """A document as an event."""
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def events(model: str, tokens: tuple[str, ...] = TOKENS) -> list[bytes]:
    """All events of a healthy stream: the role, the tokens, the finish, the usage, the end."""
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": len(tokens)}
    usage["total_tokens"] = sum(usage.values())
    return [
        said(model, {"role": "assistant", "content": ""}),
        *(said(model, {"content": token}) for token in tokens),
        said(model, {}, "stop"),
        event({**_head(model), "choices": [], "usage": usage}),
        b"data: [DONE]\n\n",
    ]


def stream(pieces: list[bytes]) -> list[bytes]:
    """A whole stream of these events."""
    return [opening(), *(chunk(piece) for piece in pieces), LAST]


def whole(model: str, tokens: tuple[str, ...] = TOKENS) -> list[bytes]:
    """A healthy answer that is not streamed."""
    message = {"role": "assistant", "content": "".join(tokens), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": len(tokens)}
    usage["total_tokens"] = sum(usage.values())
    document = {**_head(model), "object": "chat.completion", "choices": [choice], "usage": usage}
    return answer(200, json.dumps(document).encode())


def _head(model: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
