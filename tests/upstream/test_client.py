"""What each error of the network becomes, played byte by byte on a raw socket."""

import asyncio
import socket

import pytest

from proxy.call import Kind, Phase, UpstreamLost, UpstreamRequest
from proxy.table import Upstream
from proxy.upstream.client import open_upstreams
from tests.kit.scripted import scripted

REQUEST = UpstreamRequest("/chat", (("content-type", "application/json"),), b"{}")
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
GZIPPED = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx"
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
async def out():
    async with open_upstreams() as upstreams:
        yield upstreams


async def fetch(out, url):
    async with out.send(Upstream("one", "openai", url), REQUEST) as answer:
        return answer.status, await answer.whole(1000)


async def lost(out, up, data, reset=False):
    task = asyncio.get_running_loop().create_task(fetch(out, up.url))
    conn = await up.accept()
    await conn.request()
    conn.send(data)
    conn.rst() if reset else conn.close()
    with pytest.raises(UpstreamLost) as caught:
        await task
    return caught.value.signal.kind, caught.value.signal.phase


async def test_refused(out):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamLost) as caught:
            await fetch(out, f"http://127.0.0.1:{sock.getsockname()[1]}")
    assert (caught.value.signal.kind, caught.value.signal.phase) == (Kind.UNREACHABLE, Phase.CONNECT)


@pytest.mark.parametrize(
    ("data", "reset", "kind", "phase"),
    [
        (b"", False, Kind.RESET, Phase.SENT),
        (b"", True, Kind.RESET, Phase.SENT),
        (b"nonsense\r\n\r\n", False, Kind.BAD_ANSWER, Phase.SENT),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n\r\n", False, Kind.BAD_ANSWER, Phase.SENT),
        (CHUNKED, False, Kind.RESET, Phase.HEADERS),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", False, Kind.RESET, Phase.HEADERS),
        (GZIPPED, False, Kind.BAD_ANSWER, Phase.HEADERS),
    ],
)  # fmt: skip
async def test_the_table_of_errors(out, data, reset, kind, phase):
    async with scripted() as up:
        assert await lost(out, up, data, reset) == (kind, phase)


@pytest.mark.parametrize("end", range(len(b"3\r\nabc\r\n0\r\n")))
async def test_a_cut_chunked_body_never_looks_whole(out, end):
    async with scripted() as up:
        assert await lost(out, up, CHUNKED + b"3\r\nabc\r\n0\r\n"[:end]) == (Kind.RESET, Phase.HEADERS)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
async def test_a_whole_body_returns_its_connection(out, first):
    async with scripted() as up:
        for _ in range(2):
            task = asyncio.get_running_loop().create_task(fetch(out, up.url))
            conn = up.connections[0] if up.connections else await up.accept()
            await conn.request()
            conn.send(first + GOOD)
            assert await task == (200, b"ok")
        assert len(up.connections) == 1


async def test_no_redirect_is_followed(out):
    async with scripted() as up:
        task = asyncio.get_running_loop().create_task(fetch(out, up.url))
        conn = await up.accept()
        await conn.request()
        conn.send(b"HTTP/1.1 307 No\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n")
        assert (await task)[0] == 307


async def test_a_stale_connection_is_tried_again(out):
    async with scripted() as up:
        conn = None
        for _ in range(2):
            task = asyncio.get_running_loop().create_task(fetch(out, up.url))
            if conn is not None:
                await conn.request()
                conn.rst()
            conn = await up.accept()
            await conn.request()
            conn.send(GOOD)
            assert await task == (200, b"ok")


@pytest.mark.parametrize("data", [b"", CHUNKED + b"3\r\nabc\r\n"])
async def test_cancelling_closes_at_once(out, data):
    async with scripted() as up:
        task = asyncio.get_running_loop().create_task(fetch(out, up.url))
        conn = await up.accept()
        await conn.request()
        conn.send(data)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await conn.eof()


async def test_leaving_early_closes_at_once(out):
    async with scripted() as up:

        async def glance():
            async with out.send(Upstream("one", "openai", up.url), REQUEST):
                pass

        task = asyncio.get_running_loop().create_task(glance())
        conn = await up.accept()
        await conn.request()
        conn.send(CHUNKED + b"3\r\nabc\r\n")
        await task
        await conn.eof()
