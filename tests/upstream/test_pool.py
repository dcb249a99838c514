"""Connections that are used again: when, when not, and what a stale one becomes."""

import asyncio
import gc

import pytest

from proxy.call import Kind, Phase
from tests.kit.scripted import scripted
from tests.upstream.sending import CHUNKED, GOOD, at, failure, fetch, idle, opened, poured, served, started

EVENTS = b"data: {}\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + GOOD,
        CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENTS), EVENTS),
        b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno",
    ],
    ids=["whole", "early hints", "stream", "error"],
)
async def test_a_body_read_to_its_end_returns_its_connection(out, data):
    async with scripted() as up:
        conn = await served(out, up, data)
        assert idle(out) == (1, 0)
        task = started(fetch(out, up.url))
        await conn.request()
        conn.send(GOOD)
        assert await task == (200, b"ok")
        assert len(up.connections) == 1


async def test_a_stream_read_event_by_event_returns_its_connection(out):
    """The last chunk comes after `[DONE]`, alone."""
    async with scripted() as up:
        async with opened(out, up, CHUNKED) as (answer, conn):
            conn.send(b"%x\r\n%s\r\n" % (len(EVENTS), EVENTS))
            assert await poured(answer, len(EVENTS)) == EVENTS
            conn.send(b"0\r\n\r\n")
            assert await poured(answer) == b""
        assert idle(out) == (1, 0)


@pytest.mark.parametrize("late", [False, True], ids=["with the answer", "later"])
async def test_one_that_says_more_than_was_asked_is_not_used_again(out, late):
    """A second answer must never become the answer to somebody else's call."""
    async with scripted() as up:
        conn = await served(out, up, GOOD if late else GOOD + GOOD)
        if late:
            assert idle(out) == (1, 0)
            conn.send(GOOD)
        await conn.eof()
        assert idle(out) == (0, 0)


async def test_trailers_are_in_no_head_of_the_next_answer(out):
    async with scripted() as up:
        conn = await served(out, up, CHUNKED + b"2\r\nok\r\n0\r\nretry-after: 9\r\nx: 1\r\n\r\n")
        assert idle(out) == (1, 0)
        plain = b"HTTP/1.1 200 OK\r\nx-own: mine\r\ncontent-length: 0\r\n\r\n"
        async with opened(out, up, plain, conn) as (answer, _):
            assert dict(answer.headers) == {"x-own": "mine", "content-length": "0"}


async def test_one_that_says_close_is_not_used_again(out):
    async with scripted() as up:
        conn = await served(out, up, GOOD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        await conn.eof()
        assert idle(out) == (0, 0)


@pytest.mark.parametrize("reset", [False, True])
async def test_one_closed_while_idle_is_not_used_again(out, reset):
    async with scripted() as up:
        conn = await served(out, up)
        conn.rst() if reset else conn.close()
        await served(out, up)
        assert len(up.connections) == 2


async def test_one_that_is_used_again_keeps_no_earlier_answer_alive(out):
    async with scripted() as up:
        conn = None
        for _ in range(3):
            async with opened(out, up, CHUNKED, conn) as (answer, conn):
                conn.send(b"0\r\n\r\n")
                await answer.whole(10)
        assert len(up.connections) == 1
        connection = out.pool(at(up.url)).take()
        assert connection._answer is None
        connection.close()


async def test_a_reset_in_the_pool_is_no_news(out, caplog):
    async with scripted() as up:
        async with opened(out, up, CHUNKED) as (answer, conn):
            conn.send(b"0\r\n\r\n")
            await answer.whole(10)
        conn.rst()
        await served(out, up)
    gc.collect()
    assert caplog.records == []


@pytest.mark.fault("a6-stale")
@pytest.mark.parametrize("reset", [False, True])
async def test_a_stale_one_is_replaced_once_by_a_fresh_one(out, reset):
    async with scripted() as up:
        conn = await served(out, up)
        task = started(fetch(out, up.url))
        await conn.request()
        conn.rst() if reset else conn.close()
        fresh = await up.accept()
        assert (await fresh.request()).endswith(b"\r\n\r\n{}")
        fresh.send(GOOD)
        assert await task == (200, b"ok")
        assert len(up.connections) == 2


async def test_never_twice(out):
    """Another connection lies ready in the pool; it must not be asked either."""
    async with scripted() as up:
        async with opened(out, up, CHUNKED) as (answer, other):
            await served(out, up)
            other.send(b"0\r\n\r\n")
            await answer.whole(10)
        assert idle(out) == (2, 0)
        task = started(fetch(out, up.url))
        await other.request()
        other.rst()
        fresh = await up.accept()
        await fresh.request()
        fresh.rst()
        assert await failure(task) == (Kind.RESET, Phase.SENT)
        assert len(up.connections) == 3
        assert idle(out) == (1, 0)


@pytest.mark.fault("a6-billed")
async def test_without_a_fresh_one_the_request_still_counts_as_sent(out):
    async with scripted() as up:
        conn = await served(out, up)
        task = started(fetch(out, up.url))
        await conn.request()
        up.refuse()
        conn.rst()
        assert await failure(task) == (Kind.RESET, Phase.SENT)


@pytest.mark.fault("a6-stale")
@pytest.mark.parametrize("data", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nx: y\r\n"])
async def test_an_answer_that_had_begun_is_not_asked_for_again(out, data):
    async with scripted() as up:
        conn = await served(out, up)
        task = started(fetch(out, up.url))
        await conn.request()
        conn.send(data)
        conn.close()
        assert await failure(task) == (Kind.RESET, Phase.SENT)
        assert len(up.connections) == 1


async def test_no_cookie_is_kept(out):
    async with scripted() as up:
        conn = await served(out, up, GOOD.replace(b"\r\n\r\n", b"\r\nset-cookie: a=b; path=/\r\n\r\n"))
        task = started(fetch(out, up.url))
        assert b"cookie" not in (await conn.request()).lower()
        conn.send(GOOD)
        await task


async def test_the_environment_chooses_no_proxy_and_no_password(out, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with scripted() as up:
        task = started(fetch(out, up.url))
        conn = await up.accept()
        request = await conn.request()
        conn.send(GOOD)
        assert await task == (200, b"ok")
    assert request.startswith(b"POST /chat ")
    assert b"authorization" not in request.lower()


async def test_an_upstream_of_which_nothing_is_left_is_forgotten_when_a_new_one_comes(out):
    """Tables are edited for years, and each edit may name an address that was never seen before."""
    async with scripted() as up, scripted() as other, scripted() as third:
        conn = await served(out, up)
        await served(out, other)
        conn.close()
        await eventually(lambda: idle(out) == (1, 0))
        await served(out, third)
        assert [pool.place.port for pool in out._pools.values()] == [port(other), port(third)]


async def test_an_upstream_that_is_being_reached_is_not_forgotten(out):
    async with scripted() as up, scripted() as other:
        out.pool(at(up.url)).making += 1
        await served(out, other)
        assert len(out._pools) == 2


def port(up):
    return int(up.url.rpartition(":")[2])


async def eventually(condition):
    while not condition():  # noqa: ASYNC110  # what it waits for has no event of its own
        await asyncio.sleep(0)
