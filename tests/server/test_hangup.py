"""A caller who leaves is noticed in every phase, and the story is cancelled there and then."""

import asyncio
import contextlib
import socket
import struct

import pytest

from proxy.server.connection import LATER_REQUESTS
from tests.server.running import CHAT, chat, http, whole

PHASES = ("before the first write", "between head and content", "while streaming", "waiting for room")
WAYS = ("reset", "close", "half-close")


class Watched:
    """A story that stops in one phase and notes how it ended."""

    def __init__(self, phase):
        self.phase = phase
        self.there = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    async def __call__(self, caller, call):
        try:
            await self._tell(caller)
        except asyncio.CancelledError:
            self.ended.set_result(("cancelled", caller.gone))
            raise
        self.ended.set_result(("finished", caller.gone))

    async def _tell(self, caller):
        if self.phase == "before the first write":
            await self._stop()
        await caller.start(200, {})
        if self.phase == "between head and content":
            await self._stop()
        if self.phase == "while streaming":
            caller.write(b"data: 1\n\n")
            await self._stop()
        self.there.set()
        while True:
            pending = caller.write(b"data: " + b"x" * 65536 + b"\n\n")
            await (pending or asyncio.sleep(0))

    async def _stop(self):
        self.there.set()
        await asyncio.get_running_loop().create_future()


def leave(line, way):
    if way == "reset":
        raw = line.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.writer.transport.abort()
    elif way == "close":
        line.writer.close()
    else:
        line.writer.write_eof()


# A whole answer is sent at once, and a half-close behind a full buffer is for the stall watch.
CASES = [
    (stream, phase, way)
    for stream in (True, False)
    for phase in PHASES
    for way in WAYS
    if phase != "waiting for room" or (stream and way != "half-close")
]


@pytest.mark.fault("c11-half", "c11-mid")
@pytest.mark.parametrize(("stream", "phase", "way"), CASES)
async def test_a_hang_up_cancels_the_story(house, stream, phase, way):
    house.answer = watched = Watched(phase)
    line = await house.connect()
    line.send(chat({"stream": stream}))
    await watched.there.wait()
    leave(line, way)
    assert await watched.ended == ("cancelled", True)
    assert (await house.send(http("GET", "/healthz"))).status == 200


@pytest.mark.fault("c11-body")
async def test_a_hang_up_while_the_body_arrives_starts_no_story(house):
    line = await house.connect()
    line.send(chat(CHAT)[:-5])
    await line.writer.drain()
    leave(line, "reset")
    assert (await house.send(chat())).status == 200
    assert len(house.calls) == 1


async def test_the_gate_is_left_at_a_hang_up(house):
    house.answer = watched = Watched("while streaming")
    line = await house.connect()
    line.send(chat({"stream": True}))
    await watched.there.wait()
    assert house.gate.live == 1
    leave(line, "reset")
    await watched.ended
    await house.gate.drain(60)
    assert house.gate.live == 0


async def test_the_story_may_settle_after_a_hang_up(house):
    """What the story awaits while it handles its cancellation is not interrupted again."""
    settled = asyncio.get_running_loop().create_future()
    there = asyncio.Event()

    async def answer(caller, call):
        try:
            there.set()
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            settled.set_result(True)

    house.answer = answer
    line = await house.connect()
    line.send(chat())
    await there.wait()
    leave(line, "close")
    assert await settled


async def test_nothing_more_is_taken_for_a_caller_whose_buffer_outlives_a_half_close(house):
    ended = asyncio.get_running_loop().create_future()
    there = asyncio.Event()

    async def answer(caller, call):
        await caller.start(200, {})
        while not caller._line.transport.get_write_buffer_size():
            caller.write(b"data: " + b"x" * 16384 + b"\n\n")
        there.set()
        try:
            while not caller.gone:
                caller.write(b"data: 1\n\n")
                await asyncio.sleep(0)
            caller.write(b"data: 2\n\n")
        except asyncio.CancelledError:
            ended.set_result("cancelled")
            raise
        ended.set_result("went on")

    house.answer = answer
    line = await house.connect()
    line.reader._transport.pause_reading()
    line.send(chat({"stream": True}))
    await there.wait()
    leave(line, "half-close")
    assert await ended == "cancelled"


FLOODS = {
    "requests": http("GET", "/v1/models") * 200,
    "a body": http("POST", "/v1/chat/completions", b" " * 1_000_000),
}


@pytest.mark.fault("c13-behind")
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("flood", FLOODS)
async def test_a_caller_who_floods_the_line_behind_a_call_is_cut_off(house, flood, at_once):
    """Where reading has to stop, a hang-up could not be noticed any more."""
    house.answer = watched = Watched("before the first write")
    line = await house.connect()
    if at_once:
        line.send(chat({"stream": True}) + FLOODS[flood])
    else:
        line.send(chat({"stream": True}))
        await watched.there.wait()
        line.send(FLOODS[flood])
    with contextlib.suppress(ConnectionError):
        assert await line.reader.read() == b""
    assert house.gate.live == 0
    assert (await house.send(http("GET", "/healthz"))).status == 200


async def test_no_call_begins_on_a_line_that_is_cut_off_as_the_one_before_it_ends(house):
    """So many requests lay behind the first that their line is cut; the next of them is not begun."""
    there, go_on = asyncio.Event(), asyncio.Event()

    async def answer(caller, call):
        there.set()
        await go_on.wait()
        await whole(caller, call)

    house.answer = answer
    line = await house.connect()
    line.send(chat())
    await there.wait()
    line.send(chat() + http("GET", "/healthz", key=None) * LATER_REQUESTS)
    await line.writer.drain()
    assert (await house.send(http("GET", "/healthz"))).status == 200  # by now those have come, too
    go_on.set()
    with contextlib.suppress(ConnectionError):
        await line.reader.read()
    assert len(house.calls) == 1
