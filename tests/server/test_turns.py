"""Callers who send as fast as can be read: between reads, and many small frames, it is others' turn."""

import asyncio

import pytest

from proxy.server.channel import Channel
from proxy.server.connection import LATER_BYTES, Connection
from proxy.server.frames import FRAMES_AT_ONCE, Op
from proxy.server.pieces import MUCH_BYTES
from proxy.server.visit import Limits
from tests.server.sockets import masked


class Reading:
    """A transport that keeps what is written, and knows whether it reads."""

    def __init__(self):
        self.written = []
        self.reads = True
        self.write = self.written.append

    def is_closing(self):
        return False

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True


class Wire:
    """A line that has nothing beneath it."""

    writing_paused = lost = False

    def __init__(self):
        self.transport = Reading()

    def hand_over(self, taker):
        self.take = taker


class Nobody:
    """Hears nothing."""

    busy = False

    def heard(self, text):
        raise AssertionError("nothing was said")

    def ended(self):
        pass


async def test_a_read_full_of_small_frames_gives_others_their_turn():
    """One read may hold forty thousand, and one caller may have such a read always ready."""
    wire, turns = Wire(), 0
    serving = asyncio.create_task(Channel(wire, Limits(), Nobody()).serve(b""))
    await asyncio.sleep(0)
    wire.take(masked(Op.PING, b"") * 3 * FRAMES_AT_ONCE)
    pongs = wire.transport.written[1:]
    while not wire.transport.reads:
        assert len(pongs) == (turns + 1) * FRAMES_AT_ONCE
        await asyncio.sleep(0)
        pongs, turns = wire.transport.written[1:], turns + 1
    assert (turns, len(pongs)) == (2, 3 * FRAMES_AT_ONCE)
    wire.take(masked(Op.CLOSE))
    await serving


async def test_a_large_read_of_a_socket_gives_others_their_turn():
    """Frames of a kilobyte are not many, and 8 MB of them would be read in a row."""
    wire, heard = Wire(), []
    listener = Nobody()
    listener.heard = heard.append
    serving = asyncio.create_task(Channel(wire, Limits(), listener).serve(b""))
    await asyncio.sleep(0)
    wire.take(masked(Op.TEXT, b"x" * MUCH_BYTES))
    assert not wire.transport.reads
    await asyncio.sleep(0)
    assert wire.transport.reads
    assert len(heard) == 1
    wire.take(masked(Op.CLOSE))
    await serving


async def test_a_close_among_many_small_frames_is_the_end_of_them():
    wire = Wire()
    serving = asyncio.create_task(Channel(wire, Limits(), Nobody()).serve(b""))
    await asyncio.sleep(0)
    wire.take(masked(Op.PING) * 10 + masked(Op.CLOSE) + masked(Op.PING) * 3 * FRAMES_AT_ONCE)
    await serving
    await asyncio.sleep(0)
    assert wire.transport.reads
    assert len(wire.transport.written) == 1 + 10 + 1


async def test_small_frames_of_who_has_left_are_answered_no_more():
    wire = Wire()
    serving = asyncio.create_task(Channel(wire, Limits(), Nobody()).serve(b""))
    await asyncio.sleep(0)
    wire.take(masked(Op.PING) * 3 * FRAMES_AT_ONCE)
    wire.lost = True
    await asyncio.sleep(0)
    assert len(wire.transport.written) == 1 + FRAMES_AT_ONCE
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


class Place:
    """A site at which every request is answered when the test says so, and before that is told to be over."""

    limits = Limits()

    def __init__(self):
        self.go = asyncio.Event()

    def enter(self, guest):
        pass

    def leave(self, guest):
        pass

    async def answer(self, line, request):
        request.answered = True
        await self.go.wait()


def head(size):
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size


async def test_a_large_read_gives_others_their_turn_before_the_next():
    connection, transport = Connection(Place()), Reading()
    connection.connection_made(transport)
    connection.data_received(head(2 * MUCH_BYTES))
    assert transport.reads
    connection.data_received(b"x" * MUCH_BYTES)
    assert not transport.reads
    await asyncio.sleep(0)
    assert transport.reads
    connection.connection_lost(None)


async def test_what_comes_behind_an_answer_is_not_read_on_before_that_is_done_with():
    place, transport = Place(), Reading()
    connection = Connection(place)
    connection.connection_made(transport)
    connection.data_received(head(0))
    await asyncio.sleep(0)
    connection.data_received(head(10 * MUCH_BYTES) + b"x" * (MUCH_BYTES + LATER_BYTES))
    for _ in range(3):
        await asyncio.sleep(0)
        assert not transport.reads
    place.go.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert transport.reads
    connection.connection_lost(None)
