"""The way out: one aiohttp session for each upstream, and every error of the network turned into ours.

`app.py` opens it once; the story reaches it through the `Upstreams` port. Nothing here knows a
dialect, a route or a limit. It follows no redirect, obeys no proxy from the environment, keeps no
cookie, decodes no compression, and lets no error of aiohttp or the system past its door.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from yarl import URL

from proxy.call import Kind, Phase, Signal, UpstreamLost, UpstreamRequest
from proxy.ports import UpstreamAnswer
from proxy.table import Upstream
from proxy.upstream.trouble import closed_while_idle, signal_of

POOL_IDLE_S = 4.0
"""vLLM closes an idle connection after 5 s, others later: below it, a pooled one is alive."""
BUFFER_BYTES = 64 * 1024
"""Read ahead for one answer; beyond it the upstream waits until the caller has taken some."""
HEADER_BYTES = 16 * 1024
NETWORK: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, TimeoutError, UnicodeError)
"""All that a sending can raise; the last for a host name that no resolver takes."""


@dataclass(slots=True)
class _Trip:
    """What must be known of one sending."""

    pooled: bool = False
    """Whether it went over a connection that had been used before."""


async def _note_pooled(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.pooled = True


class HttpAnswer:
    """The `UpstreamAnswer` port over one aiohttp response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def whole(self, limit: int) -> bytes:
        body = await self._read(limit + 1)
        if len(body) > limit:
            raise UpstreamLost(Signal(Kind.BAD_ANSWER, Phase.HEADERS, self.status, detail="answer too large"))
        return body

    async def start(self, limit: int) -> bytes:
        return (await self._read(limit))[:limit]

    async def _read(self, enough: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size >= enough:
                break
        return b"".join(pieces)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            while piece := await self._response.content.readany():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamLost(signal_of(error, Phase.HEADERS, self.status)) from error


class HttpUpstreams:
    """The `Upstreams` port: a pool for each upstream, so that a slow one cannot starve the others."""

    def __init__(self) -> None:
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._unpooled: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def send(self, upstream: Upstream, request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        response = await self._head(upstream, request)
        try:
            with _told_of_loss(response):
                yield HttpAnswer(response)
        finally:
            # A body read to its end has gone back to the pool; anything else is closed at once.
            response.close()

    async def _head(self, upstream: Upstream, request: UpstreamRequest) -> aiohttp.ClientResponse:
        trip = _Trip()
        try:
            response = await self._post(self._session(upstream), upstream, request, trip)
        except NETWORK as error:
            lost = signal_of(error, Phase.SENT, None)
            if not (trip.pooled and closed_while_idle(error)):
                raise UpstreamLost(lost) from error
            # The upstream closed a pooled connection as we took it: not a byte was answered.
            response = await self._afresh(upstream, request, lost)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            response.close()
            detail = "compressed although identity was asked for"
            raise UpstreamLost(Signal(Kind.BAD_ANSWER, Phase.HEADERS, response.status, detail=detail))
        return response

    async def _afresh(
        self, upstream: Upstream, request: UpstreamRequest, lost: Signal
    ) -> aiohttp.ClientResponse:
        """The one retry: over a new connection, so that it cannot meet another stale one.

        Where none can be made, `lost` stays true: the request did leave once, and may be billed.
        """
        if self._unpooled is None:
            self._unpooled = _new_session(aiohttp.TCPConnector(limit=0, force_close=True))
        try:
            return await self._post(self._unpooled, upstream, request, _Trip())
        except NETWORK as error:
            signal = signal_of(error, Phase.SENT, None)
            raise UpstreamLost(lost if signal.phase is Phase.CONNECT else signal) from error

    async def _post(
        self, session: aiohttp.ClientSession, upstream: Upstream, request: UpstreamRequest, trip: _Trip
    ) -> aiohttp.ClientResponse:
        return await session.post(
            URL(upstream.base_url + request.path, encoded=True),
            data=request.body,
            headers=request.headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=upstream.timeouts.connect_s),
            allow_redirects=False,
            trace_request_ctx=trip,
        )

    def _session(self, upstream: Upstream) -> aiohttp.ClientSession:
        session = self._sessions.get(upstream.name)
        if session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=POOL_IDLE_S, ttl_dns_cache=10)
            session = self._sessions[upstream.name] = _new_session(connector)
        return session

    async def close(self) -> None:
        """Close every pool."""
        for session in (*self._sessions.values(), self._unpooled):
            if session is not None:
                await session.close()


def _heard(closed: asyncio.Future[None]) -> None:
    """Look at how a connection closed, or asyncio reports that nobody did."""
    if not closed.cancelled():
        closed.exception()


@contextmanager
def _told_of_loss(response: aiohttp.ClientResponse) -> Iterator[None]:
    """Fail a body whose connection has closed in the middle.

    aiohttp closes the connection when a chunk is framed wrongly, but leaves the reader waiting.
    """
    connection, content = response.connection, response.content
    protocol = connection.protocol if connection is not None else None
    if protocol is None:
        yield  # The whole body came with the head.
        return

    def lost(_closed: object = None) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("closed within the body"))

    closed = protocol.closed
    if closed is None:
        lost()
        yield
        return
    closed.remove_done_callback(_heard)
    closed.add_done_callback(_heard)
    closed.add_done_callback(lost)
    try:
        yield
    finally:
        # The connection may serve others from the pool; it must not keep this answer alive.
        closed.remove_done_callback(lost)


def _new_session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_pooled)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        trace_configs=[trace],
        read_bufsize=BUFFER_BYTES,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
    )


@asynccontextmanager
async def open_upstreams() -> AsyncIterator[HttpUpstreams]:
    """The way out, for the life of the process."""
    upstreams = HttpUpstreams()
    try:
        yield upstreams
    finally:
        await upstreams.close()
