"""One connection: aiohttp's own protocol, with our shape for what it refuses and a deadline for heads.

aiohttp answers malformed requests below the door, as plain text with the offending bytes in it; here
they get OpenAI's shape and no echo. `listeners.py` hands this to its sites. It must never parse.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from proxy.errors import Told, our_fault
from proxy.ports import Dice
from proxy.server.shapes import identified, refusal
from proxy.server.visit import Limits

log = logging.getLogger("proxy.connection")

MALFORMED = Told(
    400, "The request is not well-formed HTTP.", "invalid_request_error", "bad_http", should_retry=False
)


class Connection(web.RequestHandler):
    """One connection of a caller."""

    def __init__(self, server: "Server", loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, **options)
        self._dice = server.dice
        self._header_s = server.limits.header_s
        self._head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_deadline = self._loop.call_later(self._header_s, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        transport = self.transport
        behind = len(self._messages) - (self._current_request is None)
        if behind > 0 and transport is not None and not transport.is_reading():
            # More follows a call than is held for later, so reading has stopped; but who does not read
            # cannot notice that the caller leaves, and the upstream would go on for nobody.
            self.force_close()

    def _head_is_late(self) -> None:
        # Later heads fall under aiohttp's own idle timer, which data does not reset.
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Below the door: malformed requests, and whatever the door itself could not hold."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        request_id = "req_" + self._dice.token()
        told = MALFORMED if status == MALFORMED.status else our_fault(request_id).told
        fact = {"request_id": request_id, "error": type(exc).__name__}
        log.log(logging.INFO if told is MALFORMED else logging.ERROR, "request refused unread", extra=fact)
        response = refusal(told, identified(request_id, None))
        response.force_close()
        return response


class Server(web.Server):
    """Makes a `Connection` for each socket. Hang-ups cancel the handler in every phase."""

    def __init__(
        self, door: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], dice: Dice, limits: Limits
    ) -> None:
        # Encoded bodies are refused by the door; decoding them first would be the bomb.
        super().__init__(
            door,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=limits.idle_s,
            lingering_time=limits.linger_s,
            access_log=None,
            max_headers=128,
        )
        self.dice = dice
        self.limits = limits

    def __call__(self) -> Connection:
        return Connection(self, self._loop, **self._kwargs)
