"""A caller who reads slowly slows the story down, and one who stops reading is cut off."""

import asyncio
import socket

import pytest

from proxy.server.visit import Limits
from tests.server.running import House, chat, opened

PIECE = b"data: " + b"x" * 16384 + b"\n\n"


async def slow_line(house):
    """A connection whose receiving side takes little."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", house.port()))
    return raw


async def test_a_full_buffer_makes_the_story_wait_until_the_caller_reads(house):
    full = asyncio.Event()
    total = 0

    async def answer(caller, call):
        nonlocal total
        await caller.start(200, {})
        while (pending := caller.write(PIECE)) is None:
            total += len(PIECE)
        full.set()
        await pending
        await caller.finish()

    house.answer = answer
    raw = await slow_line(house)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, chat({"stream": True}))
    await full.wait()
    assert total < 16 * 1024 * 1024
    got = b""
    while not got.endswith(b"\r\n0\r\n\r\n"):
        got += await loop.sock_recv(raw, 65536)
    raw.close()
    assert got.count(PIECE) == total // len(PIECE) + 1


@pytest.mark.fault("c12-slow")
async def test_a_caller_who_takes_nothing_is_cut_off():
    ended = asyncio.get_running_loop().create_future()

    async def answer(caller, call):
        await caller.start(200, {})
        try:
            while True:
                await (caller.write(PIECE) or asyncio.sleep(0))
        finally:
            ended.set_result(caller.gone)

    async with opened(House(answer=answer, limits=Limits(stall_s=0.05))) as house:
        raw = await slow_line(house)
        await asyncio.get_running_loop().sock_sendall(raw, chat({"stream": True}))
        assert await ended is True
        raw.close()


async def test_a_large_whole_answer_is_cut_off_too_if_nobody_takes_it():
    ended = asyncio.get_running_loop().create_future()

    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(b" " * 16_000_000)
        try:
            await caller.finish()
        finally:
            ended.set_result(caller.gone)

    async with opened(House(answer=answer, limits=Limits(stall_s=0.05))) as house:
        raw = await slow_line(house)
        await asyncio.get_running_loop().sock_sendall(raw, chat())
        assert await ended is True
        raw.close()


async def test_a_large_whole_answer_arrives_whole(house):
    body = bytes(range(256)) * 20_000

    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(body)
        await caller.finish()

    house.answer = answer
    assert (await house.send(chat())).body == body


async def test_an_aborted_stream_does_not_wait_for_a_caller_who_takes_nothing():
    gone = asyncio.get_running_loop().create_future()

    async def answer(caller, call):
        await caller.start(200, {})
        while caller.write(PIECE) is None:
            pass
        caller.abort()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            gone.set_result(caller.gone)

    async with opened(House(answer=answer, limits=Limits(stall_s=0.05))) as house:
        raw = await slow_line(house)
        await asyncio.get_running_loop().sock_sendall(raw, chat({"stream": True}))
        assert await gone is True
        raw.close()
