"""A WebSocket whose caller sends more small frames at once than anybody has to say."""

import asyncio

from proxy.server.channel import Channel
from proxy.server.frames import FRAMES_AT_ONCE, Op
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


async def test_a_close_among_many_small_frames_is_the_end_of_them():
    wire = Wire()
    serving = asyncio.create_task(Channel(wire, Limits(), Nobody()).serve(b""))
    await asyncio.sleep(0)
    wire.take(masked(Op.PING) * 10 + masked(Op.CLOSE) + masked(Op.PING) * 3 * FRAMES_AT_ONCE)
    await serving
    await asyncio.sleep(0)
    assert wire.transport.reads
    assert len(wire.transport.written) == 1 + 10 + 1
