"""A document posted to an address of the operator's, over a connection of its own.

`app.py` hands `post` to whoever tells people outside. It connects, and distrusts the
answer, as one does on the way to upstreams. Only the status is wanted, so that the connection is closed
after it. It sets no time for the answer: who posts does.
"""

from urllib.parse import urlsplit

from proxy.call import Kind, Phase, Signal, UpstreamLost, UpstreamRequest
from proxy.upstream.client import head_of
from proxy.upstream.connection import Connection
from proxy.upstream.reaching import Reacher, place_of

CONNECT_S = 10.0
HEADERS = (("content-type", "application/json"), ("user-agent", "fallthrough"), ("connection", "close"))


class _Nobody:
    """Keeps no connection."""

    def freed(self, connection: Connection) -> None:
        connection.close()

    def closed(self, connection: Connection) -> None:
        """Nothing was kept of it."""


async def post(reacher: Reacher, address: str, document: bytes) -> int:
    """The status that `document` was met with. Raises `UpstreamLost` where there was none."""
    place, parts = place_of(address), urlsplit(address)
    rest = ("" if parts.path else "/") + (f"?{parts.query}" if parts.query else "")
    connection = await reacher.open(place, CONNECT_S, lambda: Connection(_Nobody()))
    if not connection.usable:
        raise UpstreamLost(Signal(Kind.UNREACHABLE, Phase.CONNECT, detail="closed"))
    answer = connection.ask(head_of(place, UpstreamRequest(rest, HEADERS, document)), document)
    try:
        lost = await answer.head()
    finally:
        answer.leave()
    if lost is not None:
        raise UpstreamLost(lost)
    return answer.status
