"""One sending, as the tests of this room make it."""

import asyncio
from collections.abc import Awaitable
from contextlib import asynccontextmanager

import pytest

from proxy.call import Kind, Phase, UpstreamLost, UpstreamRequest
from proxy.table import Timeouts, Upstream
from proxy.upstream.answer import Answer
from proxy.upstream.client import HttpUpstreams
from tests.kit.scripted import Connection, Scripted

REQUEST = UpstreamRequest("/chat", (("content-type", "application/json"),), b"{}")
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
SOON_S = 0.05
"""A connect timeout for tests in which no connection can come."""


def at(url: str, connect_s: float = 5.0) -> Upstream:
    return Upstream("one", "openai", url, timeouts=Timeouts(connect_s=connect_s))


async def fetch(out: HttpUpstreams, url: str, connect_s: float = 5.0) -> tuple[int, bytes]:
    async with out.send(at(url, connect_s), REQUEST) as answer:
        return answer.status, await answer.whole(1000)


async def failure(awaitable) -> tuple[Kind, Phase]:
    """How a sending is lost."""
    with pytest.raises(UpstreamLost) as caught:
        await awaitable
    return caught.value.signal.kind, caught.value.signal.phase


class Glass:
    """A `Sink` of so many bytes."""

    def __init__(self, size: float = float("inf")) -> None:
        self.size = size
        self.taken: list[bytes] = []

    @property
    def full(self) -> bool:
        return sum(map(len, self.taken)) >= self.size

    def take(self, data: bytes) -> Awaitable[None] | None:
        self.taken.append(data)
        return None


async def poured(answer: Answer, size: float = float("inf")) -> bytes:
    """What comes of a body until it is so many bytes."""
    glass = Glass(size)
    await answer.pour(glass)
    return b"".join(glass.taken)


def started(coroutine) -> asyncio.Task:
    return asyncio.get_running_loop().create_task(coroutine)


@asynccontextmanager
async def opened(out: HttpUpstreams, up: Scripted, data: bytes, pooled: Connection | None = None):
    """An answer whose head has come, and the connection it comes over: a new one, or `pooled`."""
    head = asyncio.Event()

    async def play() -> Connection:
        connection = pooled or await up.accept()
        await connection.request()
        connection.send(data)
        await head.wait()
        return connection

    playing = started(play())
    async with out.send(at(up.url), REQUEST) as answer:
        head.set()
        yield answer, await playing


async def served(out: HttpUpstreams, up: Scripted, data: bytes = GOOD) -> Connection:
    """A first call, answered with `data`, which leaves its connection in the pool."""
    task = started(fetch(out, up.url))
    connection = await up.accept()
    await connection.request()
    connection.send(data)
    await task
    return connection


def idle(out: HttpUpstreams) -> tuple[int, int]:
    """Connections in the pool, and in use."""
    pools = out._pools.values()
    return sum(pool.idle for pool in pools), sum(pool.busy for pool in pools)
