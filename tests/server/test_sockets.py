"""Listening on Unix sockets, and leaving nothing behind."""

import asyncio
import socket

import pytest

from proxy.config.settings import Address
from proxy.server.listeners import CannotListen, open_listeners
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


async def test_who_cannot_listen_where_and_why_is_said(tmp_path):
    taken = tmp_path / "file"
    taken.touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for address, why in (
            (Address(path=taken), "something that is no socket is there"),
            (Address(path=tmp_path / "away" / "proxy.sock"), "No such file or directory"),
            (Address(path=tmp_path / ("x" * 120)), "AF_UNIX path too long"),
            (Address(host="127.0.0.1", port=port), "Address already in use"),
        ):
            with pytest.raises(OSError, match="probes listener at") as told:
                async with open_listeners(House().service(), {Listener.PROBES: address}):
                    pass
            assert str(told.value) == f"probes listener at {address}: {why}"


def test_a_name_that_nobody_knows_is_said_as_the_resolver_says_it():
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    told = CannotListen(Listener.ADMIN, Address(host="host.invalid", port=1), error)
    assert str(told) == "admin listener at host.invalid:1: Name or service not known"


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
