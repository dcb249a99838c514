"""Connections that wait in the pool: for how long, and what becomes of those that have waited too long."""

import asyncio

from proxy.upstream.pool import IDLE_S, Pool
from proxy.upstream.reaching import place_of
from tests.kit.virtual import VirtualLoop, play


class Wire(asyncio.Transport):
    """A transport over which nothing is said."""

    def __init__(self, protocol):
        super().__init__()
        self._protocol = protocol
        self.cut = False

    def abort(self):
        self.cut = True
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


def waiting(pool):
    """A connection of `pool` that from now on waits in it, and its transport."""
    connection = pool.make()
    wire = Wire(connection)
    connection.connection_made(wire)
    pool.enter(connection)
    pool.freed(connection)
    return connection, wire


def made():
    return Pool(place_of("http://127.0.0.1:1"))


def test_each_is_closed_when_it_has_waited_its_time_and_not_before():
    async def story():
        pool = made()
        _, first = waiting(pool)
        await asyncio.sleep(IDLE_S / 2)
        _, second = waiting(pool)
        await asyncio.sleep(IDLE_S / 4)
        assert (first.cut, second.cut) == (False, False)
        await asyncio.sleep(IDLE_S / 2)
        assert (first.cut, second.cut) == (True, False)
        assert (pool.idle, pool.busy) == (1, 0)
        await asyncio.sleep(IDLE_S / 2)
        assert second.cut
        assert pool.empty
        _, third = waiting(pool)
        await asyncio.sleep(IDLE_S * 2)
        assert third.cut, "the pool looks again once it has something to look for"

    play(story())


def test_one_that_has_waited_too_long_is_not_taken_though_nobody_has_looked_yet():
    """The loop may be late: what the upstream has given up by then must not be asked."""

    async def story():
        pool = made()
        connection, wire = waiting(pool)
        asyncio.get_running_loop()._now += IDLE_S
        assert pool.take() is None
        assert wire.cut
        assert not connection.usable
        pool.close()

    play(story())


def test_one_that_was_closed_a_moment_ago_is_not_taken():
    """It leaves the pool with the loop's next turn; until then it lies there."""

    async def story():
        pool = made()
        connection, _ = waiting(pool)
        connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")  # nobody asked
        assert pool.idle == 1
        assert pool.take() is None
        pool.close()

    play(story())


def test_the_one_that_waited_least_is_taken_first():
    async def story():
        pool = made()
        first, _ = waiting(pool)
        await asyncio.sleep(1.0)
        second, _ = waiting(pool)
        await asyncio.sleep(IDLE_S - 1.01)
        assert [pool.take(), pool.take(), pool.take()] == [second, first, None]
        pool.close()

    play(story())


class Counting(VirtualLoop):
    """A loop that counts its timers."""

    timers = 0

    def call_at(self, when, *rest, **more):
        self.timers += 1
        assert when > self.time(), "a timer for the past is a loop that never rests"
        return super().call_at(when, *rest, **more)


def test_nobody_looks_before_the_next_one_is_due():
    async def story():
        loop = asyncio.get_running_loop()
        pool = made()
        for _ in range(100):
            waiting(pool)
        assert loop.timers == 1
        await asyncio.sleep(IDLE_S / 2)
        waiting(pool)
        await asyncio.sleep(IDLE_S * 2)
        assert pool.empty
        assert loop.timers == 4, "one look for the first hundred, one for the last, and our two sleeps"

    play(story(), loop=Counting)


def test_closed_it_leaves_neither_a_connection_nor_a_timer():
    async def story():
        pool = made()
        _, idle = waiting(pool)
        busy, in_use = waiting(pool)
        assert pool.take() is busy
        pool.close()
        assert (idle.cut, in_use.cut) == (True, True)
        await asyncio.sleep(0)
        assert pool.empty
        assert all(handle._cancelled for handle in asyncio.get_running_loop()._scheduled)

    play(story())
