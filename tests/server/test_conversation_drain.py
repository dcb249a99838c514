"""The end of WebSockets: idle ones at once, others when their call is over, and nobody waits for ever."""

import asyncio

import aiohttp
import pytest

from tests.server.running import House, opened
from tests.server.sockets import Held, connected, frames, greeting, request, said
from tests.server.twins import until


@pytest.fixture
async def house():
    async with opened(House(answer=greeting)) as running:
        yield running


async def closed(socket):
    message = await socket.receive()
    return message.type, message.data


async def test_a_drain_closes_an_idle_connection_at_once(house):
    async with connected(house) as socket:
        assert (await said(socket, request()))[-1]["type"] == "complete"
        await until(lambda: not house.gate.live)
        await house.listeners.drain(3600)
        assert await closed(socket) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_a_drain_lets_the_running_call_end_and_then_closes(house):
    house.answer = held = Held()
    async with connected(house) as socket:
        await socket.send_json(request())
        await held.inside.wait()
        drain = asyncio.ensure_future(house.listeners.drain(3600))
        await until(lambda: house.gate.draining)
        held.go.set()
        assert (await frames(socket))[-1]["type"] == "complete"
        assert await closed(socket) == (aiohttp.WSMsgType.CLOSE, 1001)
        await drain


@pytest.mark.parametrize(("begin", "code"), [(True, "shutdown"), (False, "draining")])
async def test_a_call_that_outlives_the_drain_is_told_so(house, begin, code):
    house.answer = held = Held(begin=begin)
    async with connected(house) as socket:
        await socket.send_json(request())
        await held.inside.wait()
        await house.listeners.drain(0)
        assert (await frames(socket))[-1]["error"]["code"] == code
        assert await closed(socket) == (aiohttp.WSMsgType.CLOSE, 1001)
    assert held.gone is False


async def test_nobody_is_let_in_while_draining(house):
    house.gate.close()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(house):
            pass
    assert refused.value.status == 503
