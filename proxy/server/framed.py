"""The `Caller` port over a WebSocket: the events of a stream as frames of JSON.

`conversation.py` makes one for each call. What the story says is a stream of server-sent events, whole
ones at a time or not; each chunk goes on as it is, inside a frame, in the moment it comes. A call ends
with exactly one `complete` or `error`, and never with a `complete` that the story did not earn.
"""

import asyncio
from collections.abc import Awaitable, Generator, Mapping
from typing import Any

import orjson

from proxy.errors import Told
from proxy.server.channel import Channel
from proxy.server.shapes import refusal
from proxy.wire.failure import error_body
from proxy.wire.tolerant import loads

_FIELD = b"data: "
_END = b"\n\n"
_DONE = b"[DONE]"

CUT_OFF = Told(502, "The answer broke off.", "server_error", "stream_cut")


class Framed:
    """The way back to whoever called over a WebSocket."""

    def __init__(self, channel: Channel, request_id: str) -> None:
        self._channel = channel
        self._id = request_id
        self._waiting: list[bytes] = []
        """The first frame waits for the second, to go out with it."""
        self._rest = b""
        """What came of an event that is not whole yet."""
        self._usage: Any = None
        self._finish_reason: str | None = None
        self._done = False
        self.shows_usage = False
        """Whether the caller wants the usage chunk itself, too."""
        self.left = False
        """Whether the caller has hung up on this call."""
        self.begun = False
        self.finished = False
        self.ended = False
        """Whether its last frame is out."""

    @property
    def gone(self) -> bool:
        """Whether nobody listens; the task that runs the story is then cancelled, too."""
        return self.left or not self._channel.open

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self._id = headers.get("x-request-id", self._id)
        shown = {name: value for name, value in headers.items() if name.startswith("x-")}
        start = {
            "type": "start",
            "id": self._id,
            "model": headers.get("x-fallthrough-model"),
            "upstream": headers.get("x-fallthrough-upstream"),
            "headers": shown,
        }
        self._waiting.append(orjson.dumps(start))

    def write(self, data: bytes) -> Awaitable[None] | None:
        *blocks, self._rest = (self._rest + data).split(_END)
        frames = [made for block in blocks if block and (made := self._frame(block)) is not None]
        if frames:
            self._push(frames)
        return _Room(self._channel) if self._channel.full else None

    async def finish(self) -> None:
        self.finished = True
        if not self.ended:
            if self._done:
                self._say_complete()
            else:
                self.abort()
        await self._channel.drained()

    def abort(self) -> None:
        """Say that what came is not whole, unless that was said."""
        self.fail(CUT_OFF)

    def fail(self, told: Told) -> None:
        """End with an error."""
        if self.ended or not self._channel.open:
            return
        begun = self.begun or bool(self._waiting)
        self._last(self._error(orjson.loads(error_body(told))["error"], None if begun else told))

    # ── frames ────────────────────────────────────────────────────────────────────────────────────

    def _frame(self, block: bytes) -> bytes | None:
        """What one event is as a frame; None: it only tells us something."""
        data = b"\n".join(line.removeprefix(_FIELD) for line in block.split(b"\n"))
        if data == _DONE:
            self._done = True
            return None
        chunk = loads(data)
        if isinstance(chunk, dict) and isinstance(chunk.get("error"), dict):
            self.ended = True
            return self._error(chunk["error"], None)
        if isinstance(chunk, dict) and self._noticed(chunk) and not self.shows_usage:
            return None
        return b'{"type":"chunk","data":%b}' % data

    def _error(self, error: Any, told: Told | None) -> bytes:
        """The last frame of an answer that is not whole; `told` is what HTTP would say if it never began."""
        frame = {"type": "error", "error": error, "request_id": self._id, "status": None, "headers": {}}
        if told is not None:
            hints = dict(refusal(told, {}).headers)
            del hints["content-type"]
            frame |= {"status": told.status, "headers": hints}
        return orjson.dumps(frame)

    def _noticed(self, chunk: dict[str, Any]) -> bool:
        """Remember what the last frame has to tell; whether this chunk tells the usage and nothing else."""
        choices, usage = chunk.get("choices"), chunk.get("usage")
        if usage is not None:
            self._usage = usage
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) == 0 and choice.get("finish_reason"):
                self._finish_reason = choice["finish_reason"]
        return usage is not None and not choices

    def _say_complete(self) -> None:
        complete = {
            "type": "complete",
            "id": self._id,
            "usage": self._usage,
            "finish_reason": self._finish_reason,
        }
        self._last(orjson.dumps(complete))

    def _last(self, frame: bytes) -> None:
        self.ended = True
        self._push([frame])

    def _push(self, frames: list[bytes]) -> None:
        if self.gone and not self.left:
            # The story knows a hang-up as a cancellation, whoever notices it first.
            raise asyncio.CancelledError
        self.begun = True
        waiting, self._waiting = self._waiting, []
        self._channel.send(waiting + frames)


class _Room:
    """What a full buffer makes the story wait for; not a coroutine, for last words are not waited for."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __await__(self) -> Generator[Any, None, None]:
        return self._channel.drained().__await__()
