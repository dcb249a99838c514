"""Listening on Unix sockets, and leaving nothing behind."""

import asyncio

import pytest

from proxy.config.settings import Address
from proxy.server.listeners import open_listeners
from proxy.server.visit import Listener
from tests.server.running import LOOPBACK, House, Line, chat, http


async def ask(path, raw):
    line = Line(*await asyncio.open_unix_connection(path))
    line.send(raw)
    reply = await line.answer()
    line.close()
    await line.writer.wait_closed()
    return reply


async def test_a_unix_socket_serves_like_a_port_and_a_stale_one_is_replaced(tmp_path):
    path = tmp_path / "proxy.sock"
    addresses = {Listener.PUBLIC: Address(host=None, port=None, path=path)}
    for _ in range(2):
        async with open_listeners(House().service(), addresses):
            assert (await ask(path, chat())).status == 200
            assert (await ask(path, chat(key="x"))).status == 401


async def test_a_socket_in_use_is_not_taken_away(tmp_path):
    path = tmp_path / "proxy.sock"
    addresses = {Listener.PUBLIC: Address(path=path)}
    async with open_listeners(House().service(), addresses):
        with pytest.raises(OSError, match="another process listens there"):
            async with open_listeners(House().service(), addresses):
                pass
        assert (await ask(path, chat())).status == 200


async def test_a_file_in_the_socket_s_place_is_not_removed(tmp_path):
    path = tmp_path / "proxy.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match=r"proxy\.sock"):
        async with open_listeners(House().service(), {Listener.PUBLIC: Address(path=path)}):
            pass
    assert path.read_text() == "precious"


async def test_closing_leaves_no_open_port():
    house = House()
    async with open_listeners(house.service(), {Listener.PROBES: LOOPBACK}) as listeners:
        port = listeners.bound[Listener.PROBES].port
        assert set(listeners.bound) == {Listener.PROBES}
        line = Line(*await asyncio.open_connection("127.0.0.1", port))
        line.send(http("GET", "/healthz"))
        assert (await line.answer()).status == 200
    assert await line.reader.read() == b""
    line.close()
    await line.writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
