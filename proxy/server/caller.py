"""The `Caller` port on aiohttp: the way back to whoever called, as a stream or as a whole answer.

`calls.py` makes one for each call and hands it to the story. Bytes of a stream are pushed to the
socket at once; only a full buffer makes the story wait, and a caller who takes nothing for too long
is cut off. It must never compress, and never end an answer that the story did not finish.
"""

import asyncio
from collections.abc import Awaitable, Generator, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

from proxy.server.shapes import JSON

EVENT_STREAM: Mapping[str, str] = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class Socket:
    """What both ways of answering share: the connection, and how it is lost."""

    def __init__(self, request: web.BaseRequest, headers: CIMultiDict[str], stall_s: float) -> None:
        self._request = request
        self._headers = headers
        self._stall_s = stall_s
        self.response: web.StreamResponse | None = None
        """What was sent, for aiohttp; None until `start`."""
        self.finished = False

    @property
    def gone(self) -> bool:
        """Whether the connection is lost; aiohttp then also cancels the task that runs the story."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def abort(self) -> None:
        """End without a last chunk. What was written before still goes out, if the caller takes it."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        watch = _StallWatch(transport, self._stall_s)
        transport.close()
        # Nobody waits for the rest of this connection; a caller who stops reading must not keep it for ever.
        watch.start()

    async def drained(self) -> None:
        """Wait until the buffer has room again, for as long as the caller takes anything at all."""
        transport = self._request.transport
        if transport is None:
            raise asyncio.CancelledError
        watch = _StallWatch(transport, self._stall_s)
        watch.start()
        try:
            await self._request.writer.drain()
        except ConnectionError:
            raise asyncio.CancelledError from None
        finally:
            watch.stop()

    async def _send(self, response: web.StreamResponse) -> None:
        self.response = response
        try:
            await response.prepare(self._request)
        except ConnectionError:
            # The story knows a hang-up as a cancellation, whoever notices it first.
            raise asyncio.CancelledError from None


class Stream(Socket):
    """A stream of server-sent events."""

    def __init__(self, request: web.BaseRequest, headers: CIMultiDict[str], stall_s: float) -> None:
        super().__init__(request, headers, stall_s)
        self._chunked = request.version >= HttpVersion11

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self._headers.update(EVENT_STREAM)
        self._headers.update(headers)
        await self._send(web.StreamResponse(status=status, headers=self._headers))

    def write(self, data: bytes) -> Awaitable[None] | None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            # After a half-close the rest of the buffer may keep the connection, and the upstream, for long.
            raise asyncio.CancelledError
        if not data:
            return None
        if self._chunked:
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            transport.write(data)
        return _Room(self) if self._request.protocol.writing_paused else None

    async def finish(self) -> None:
        if self.response is None:
            raise RuntimeError("finished before it was started")
        self.finished = True
        try:
            await self.response.write_eof()
        except ConnectionError:
            raise asyncio.CancelledError from None


class Whole(Socket):
    """A whole answer: kept until it is finished, then sent in one piece with its length."""

    def __init__(self, request: web.BaseRequest, headers: CIMultiDict[str], stall_s: float) -> None:
        super().__init__(request, headers, stall_s)
        self._status = 200
        self._body: list[bytes] = []

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self._headers["content-type"] = JSON
        self._headers.update(headers)

    def write(self, data: bytes) -> None:
        self._body.append(data)

    async def finish(self) -> None:
        self.finished = True
        body = b"".join(self._body)
        self._headers["content-length"] = str(len(body))
        response = web.StreamResponse(status=self._status, headers=self._headers)
        await self._send(response)
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise asyncio.CancelledError
        transport.write(body)
        await self.drained()
        await response.write_eof()


class _Room:
    """What a full buffer makes the story wait for; not a coroutine, for last words are not waited for."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def __await__(self) -> Generator[Any, None, None]:
        return self._socket.drained().__await__()


class _StallWatch:
    """Aborts a transport whose write buffer has not shrunk for a while."""

    def __init__(self, transport: asyncio.WriteTransport, patience_s: float) -> None:
        self._transport = transport
        self._patience_s = patience_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._wait(self._transport.get_write_buffer_size())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, left: int) -> None:
        if left:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._patience_s, self._look, left)

    def _look(self, before: int) -> None:
        left = self._transport.get_write_buffer_size()
        if left >= before:
            self._transport.abort()
        else:
            self._wait(left)
