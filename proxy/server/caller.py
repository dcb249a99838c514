"""The `Caller` port over a connection: the way back to whoever called, as a stream or as a whole answer.

`calls.py` makes one for each call and hands it to the story. Bytes of a stream are pushed to the
socket at once; only a full buffer makes the story wait, and a caller who takes nothing for too long
is cut off. It must never compress, and never end an answer that the story did not finish.
"""

import asyncio
from collections.abc import Awaitable, Generator, Mapping
from typing import Any

from proxy.server.request import Request
from proxy.server.shapes import JSON, Answer
from proxy.server.visit import Line

EVENT_STREAM: Mapping[str, str] = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
LAST_CHUNK = b"0\r\n\r\n"


class Socket:
    """What both ways of answering share: the connection, and how it is lost."""

    def __init__(self, line: Line, request: Request, headers: dict[str, str]) -> None:
        self._line = line
        self._request = request
        self._headers = headers
        self.finished = False

    @property
    def begun(self) -> bool:
        """Whether the caller has been sent anything."""
        return self._request.begun

    @property
    def gone(self) -> bool:
        """Whether the connection is lost; the task that runs the story is then cancelled, too."""
        return self._line.lost or self._line.transport.is_closing()

    def abort(self) -> None:
        """End without a last chunk. What was written before still goes out, if the caller takes it."""
        self._line.close()


class Stream(Socket):
    """A stream of server-sent events."""

    _chunked = False
    _head = b""
    """Waits for the first bytes behind it, to go out with them."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self._chunked = self._request.version == "1.1"
        self._headers |= EVENT_STREAM
        self._headers |= headers
        if self._chunked:
            self._headers["transfer-encoding"] = "chunked"
        else:
            self._request.keep = False
        self._head = self._line.head(self._request, status, self._headers)

    def write(self, data: bytes) -> Awaitable[None] | None:
        line = self._line
        transport = line.transport
        if line.lost or transport.is_closing():
            # After a half-close the rest of the buffer may keep the connection, and the upstream, for long.
            # The story knows a hang-up as a cancellation, whoever notices it first.
            raise asyncio.CancelledError
        if data:
            if self._chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if self._head:
                data = self._begun_with(data)
            transport.write(data)
        return _Room(line) if line.writing_paused else None

    async def finish(self) -> None:
        if not self.begun and not self._head:
            raise RuntimeError("finished before it was started")
        self.finished = True
        if self.gone:
            raise asyncio.CancelledError
        self._line.transport.write(self._begun_with(LAST_CHUNK if self._chunked else b""))
        self._request.answered = True
        await self._line.drained()

    def _begun_with(self, data: bytes) -> bytes:
        """The head, if it still waits, and `data`."""
        self._request.begun = True
        data, self._head = self._head + data, b""
        return data


class Whole(Socket):
    """A whole answer: kept until it is finished, then sent in one piece with its length."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self._body: list[bytes] = []
        self._headers["content-type"] = JSON
        self._headers |= headers

    def write(self, data: bytes) -> None:
        self._body.append(data)

    async def finish(self) -> None:
        self.finished = True
        line = self._line
        if line.lost or line.transport.is_closing():
            raise asyncio.CancelledError
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        line.send(self._request, Answer(self._status, self._headers, body))
        if line.writing_paused:
            await line.drained()


class _Room:
    """What a full buffer makes the story wait for; not a coroutine, for last words are not waited for."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __await__(self) -> Generator[Any, None, None]:
        return self._line.drained().__await__()
