"""Leaving an answer in any phase, reading slowly, reading only so much."""

import asyncio

import pytest
import uvloop

from proxy.call import Kind, Phase
from proxy.upstream.client import open_upstreams
from proxy.upstream.connection import Connection
from tests.kit.scripted import scripted
from tests.upstream.sending import CHUNKED, failure, fetch, idle, opened, poured, started

LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
MIB = 1 << 20


def at_its_making(monkeypatch, act):
    """Have something done in the moment in which a connection is made, before who asked for it has it."""
    make = Connection.connection_made

    def made(connection, transport):
        make(connection, transport)
        act(connection)

    monkeypatch.setattr(Connection, "connection_made", made)


@pytest.mark.fault("c11-connect")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_cancelled_in_the_moment_in_which_the_connection_is_made(monkeypatch, run):
    """A loop may close such a connection and tell nobody: it must not be counted as in use for ever."""

    async def story():
        async with open_upstreams() as out, scripted() as up:
            at_its_making(monkeypatch, lambda _: task.cancel())
            task = started(fetch(out, up.url))
            await asyncio.wait([task])
            assert task.cancelled()
            await (await up.accept()).eof()
            assert idle(out) == (0, 0)

    run(story())


async def test_a_connection_that_is_gone_before_it_is_asked_was_never_reached(out, monkeypatch):
    at_its_making(monkeypatch, Connection.close)
    async with scripted() as up:
        assert await failure(fetch(out, up.url)) == (Kind.UNREACHABLE, Phase.CONNECT)
    assert idle(out) == (0, 0)


@pytest.mark.fault("c11-head")
async def test_cancelled_while_the_head_is_awaited(out):
    before = asyncio.all_tasks()
    async with scripted() as up:
        task = started(fetch(out, up.url))
        conn = await up.accept()
        await conn.request()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await conn.eof()
    assert idle(out) == (0, 0)
    assert asyncio.all_tasks() == before


@pytest.mark.fault("c11-mid")
async def test_cancelled_within_the_body(out):
    before = asyncio.all_tasks()
    async with scripted() as up:
        reading = asyncio.Event()

        async def read():
            async with opened(out, up, CHUNKED + b"3\r\nabc\r\n") as (answer, conn):
                conns.append(conn)
                await poured(answer, 3)
                reading.set()
                await poured(answer, 1)

        conns = []
        task = started(read())
        await reading.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await conns[0].eof()
    assert idle(out) == (0, 0)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("data", [CHUNKED, CHUNKED + b"3\r\nabc\r\n", LENGTH % 9 + b"abc"])
async def test_leaving_early_closes_at_once(out, data):
    async with scripted() as up:
        async with opened(out, up, data) as (_, conn):
            pass
        await conn.eof()
    assert idle(out) == (0, 0)


async def test_a_refused_encoding_closes_at_once(out):
    async with scripted() as up:
        task = started(fetch(out, up.url))
        conn = await up.accept()
        await conn.request()
        conn.send(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: br\r\n\r\n"))
        assert await failure(task) == (Kind.BAD_ANSWER, Phase.HEADERS)
        await conn.eof()


async def test_closing_the_way_out_closes_its_connections(out):
    async with scripted() as up, opened(out, up, CHUNKED) as (_, conn):
        out.close()
        await conn.eof()


@pytest.mark.fault("a5-starved")
async def test_a_slow_upstream_starves_no_other(out):
    """However many streams are open at one, there is room for more."""
    async with scripted() as up:
        streams = [started(fetch(out, up.url)) for _ in range(150)]
        for _ in streams:
            await (await up.accept()).request()
        assert idle(out) == (0, 150)
        for stream in streams:
            stream.cancel()
        await asyncio.wait(streams)
    assert idle(out) == (0, 0)


@pytest.mark.fault("c12-slow")
async def test_a_reader_who_does_not_read_holds_the_upstream_back(out):
    """Little is kept here, and the rest stays with the upstream until it is wanted."""
    async with scripted() as up, opened(out, up, LENGTH % (1 << 30)) as (answer, conn):
        taken = await conn.pour()
        kept = answer.unread
        assert 0 < kept < MIB
        assert kept < taken < 64 * MIB
        assert len(await poured(answer, kept + 1)) > kept


@pytest.mark.parametrize(("size", "limit", "fits"), [(0, 5, True), (5, 5, True), (6, 5, False)])
async def test_a_whole_body_has_a_limit(out, size, limit, fits):
    async with scripted() as up, opened(out, up, LENGTH % size + b"x" * size) as (answer, _):
        if fits:
            assert await answer.whole(limit) == b"x" * size
        else:
            assert await failure(answer.whole(limit)) == (Kind.BAD_ANSWER, Phase.HEADERS)


@pytest.mark.fault("b9-huge")
async def test_an_endless_body_is_given_up_at_the_limit(out):
    async with scripted() as up:
        async with opened(out, up, LENGTH % (1 << 30) + b"x" * 70_000) as (answer, conn):
            assert await failure(answer.whole(65_536)) == (Kind.BAD_ANSWER, Phase.HEADERS)
        await conn.eof()


@pytest.mark.fault("b11-huge")
async def test_the_start_of_a_body_is_cut_to_its_limit(out):
    async with scripted() as up:
        async with opened(out, up, LENGTH % 9000 + b"x" * 8000) as (answer, conn):
            assert await answer.start(5000) == b"x" * 5000
        await conn.eof()


async def test_the_start_of_a_short_body_is_all_of_it(out):
    async with scripted() as up, opened(out, up, LENGTH % 3 + b"abc") as (answer, _):
        assert await answer.start(5000) == b"abc"


async def test_a_start_that_breaks_is_lost(out):
    async with scripted() as up, opened(out, up, LENGTH % 9 + b"abc") as (answer, conn):
        conn.close()
        assert await failure(answer.start(5000)) == (Kind.RESET, Phase.HEADERS)
