"""The way out: requests to upstreams over pooled connections, every error of the network turned into ours.

`app.py` opens it once; the story reaches it through the `Upstreams` port. Nothing here knows a
dialect, a route or a limit. It follows no redirect, obeys no proxy from the environment, keeps no
cookie, decodes no compression, and lets no error of the system past its door.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

from msgspec import Struct

from proxy.call import Kind, Phase, Signal, UpstreamLost, UpstreamRequest
from proxy.table import Upstream
from proxy.upstream.answer import Answer
from proxy.upstream.pool import Pool
from proxy.upstream.reaching import Place, Reacher, place_of

SPLITTERS = b"\r\n\0"
"""What must not be in a head, but for its line ends."""
_OWN_ENDS = 4
"""Line ends of a request's head beside those of its own fields."""


class HttpUpstreams:
    """The `Upstreams` port."""

    def __init__(self, reacher: Reacher) -> None:
        self._reacher = reacher
        self._pools: dict[tuple[str, str], Pool] = {}

    def send(self, upstream: Upstream, request: UpstreamRequest) -> "Sending":
        """Send the request; the context is the answer whose head has come."""
        return Sending(self, upstream, request)

    async def afresh(self, pool: Pool, upstream: Upstream, head: bytes, body: bytes) -> Answer:
        """The answer to a request that goes over a new connection, its head read. Raises `UpstreamLost`."""
        pool.making += 1
        try:
            connection = await self._reacher.open(pool.place, upstream.timeouts.connect_s, pool.make)
        finally:
            pool.making -= 1
        if not connection.usable:  # gone between the last step of its making and now
            raise UpstreamLost(Signal(Kind.UNREACHABLE, Phase.CONNECT, detail="closed"))
        pool.enter(connection)
        answer = connection.ask(head, body)
        lost = await answer.head()
        if lost is not None:
            raise UpstreamLost(lost)
        return answer

    def pool(self, upstream: Upstream) -> Pool:
        """The connections to an upstream. Raises `UpstreamLost` if its address leads nowhere."""
        name = (upstream.name, upstream.base_url)
        pool = self._pools.get(name)
        if pool is None:
            self._forget_empty()
            pool = self._pools[name] = Pool(place_of(upstream.base_url))
        return pool

    def _forget_empty(self) -> None:
        """A table was edited, perhaps: let go of the upstreams that nothing is left of."""
        for name in [name for name, pool in self._pools.items() if pool.empty]:
            self._pools.pop(name).close()

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()


class Sending(Struct, eq=False):
    """One request on its way: entered, its answer; left, the connection is given back or closed."""

    _out: HttpUpstreams
    _upstream: Upstream
    _request: UpstreamRequest
    _answer: Answer | None = None

    def __repr__(self) -> str:
        return "Sending(…)"

    async def __aenter__(self) -> Answer:
        """The answer, its head read. Raises `UpstreamLost`."""
        body, pool = self._request.body, self._out.pool(self._upstream)
        head = head_of(pool.place, self._request)
        pooled = pool.take()
        if pooled is None:
            answer = await self._out.afresh(pool, self._upstream, head, body)
        else:
            answer = pooled.ask(head, body)
            lost = await answer.head()
            if lost is not None:
                if not pooled.stale:
                    raise UpstreamLost(lost)
                answer = await self._again(pool, head, lost)
        if answer.headers.encoded:
            answer.leave()
            detail = "compressed although identity was asked for"
            raise UpstreamLost(Signal(Kind.BAD_ANSWER, Phase.HEADERS, answer.status, detail=detail))
        self._answer = answer
        return answer

    async def _again(self, pool: Pool, head: bytes, lost: Signal) -> Answer:
        """The upstream closed a pooled connection as we took it: one more try, over a new connection.

        So it cannot meet another stale one. Where none can be made, the loss stays what it was: the request
        did leave once, and may be billed.
        """
        try:
            return await self._out.afresh(pool, self._upstream, head, self._request.body)
        except UpstreamLost as again:
            raise UpstreamLost(lost if again.signal.phase is Phase.CONNECT else again.signal) from again

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._answer is not None:
            self._answer.leave()


def head_of(place: Place, request: UpstreamRequest) -> bytes:
    """The request line and headers; only what frames the request is added to the request's own."""
    fields = [f"{name}: {value}\r\n" for name, value in request.headers]
    head = b"%b %b%b HTTP/1.1\r\nhost: %b\r\n%bcontent-length: %d\r\n\r\n" % (
        request.method.encode("ascii"),
        place.path,
        request.path.encode("ascii"),
        place.authority,
        "".join(fields).encode(),
        len(request.body),
    )
    if len(head) - len(head.translate(None, SPLITTERS)) != 2 * (len(fields) + _OWN_ENDS):
        raise ValueError("a header would split the request's head")
    return head


@asynccontextmanager
async def open_upstreams(reacher: Reacher | None = None) -> AsyncIterator[HttpUpstreams]:
    """The way out, for the life of the process."""
    upstreams = HttpUpstreams(reacher or Reacher())
    try:
        yield upstreams
    finally:
        upstreams.close()
