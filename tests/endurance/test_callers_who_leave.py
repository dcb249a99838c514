"""A thousand callers leave, each in another phase: no upstream goes on talking, and each call has one end.

Nor do they leave objects behind, nor does who is cut off or refused.
"""

import asyncio
import gc
import random
from collections import Counter
from contextlib import contextmanager

import aiohttp
import pytest
import uvloop

from proxy.server.visit import Listener
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from tests.endurance.leaving import TABLE, Leaver
from tests.kit.one_loop import DONE, ask, one_loop

AT_ONCE = 50
END = {"commit", "release", "expire"}


def never_told(thing):
    """Whether it is none of the proxy's, or a connection to an upstream whose making was cut short at its
    last step: uvloop never tells such a one of its end, so that it stays tied to its transport and its pool.
    """
    if isinstance(thing, Connection):
        return thing._open and thing._answer is None and not thing._heard
    return isinstance(thing, Pool) or not type(thing).__module__.startswith("proxy.")


@contextmanager
def found_garbage():
    """A list, in the end of the kinds of all things of the proxy that only a search for garbage found."""
    found = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [type(each) for each in gc.garbage if not never_told(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def leave(folder, number, seed):
    """So many callers leave; how the calls ended that were let in.

    All that was theirs is gone by itself: what only a search for garbage finds stays until there is one.
    """
    dice = random.Random(seed)
    async with one_loop(folder, TABLE) as inside:
        with found_garbage() as garbage:
            for first in range(0, number, AT_ONCE):
                crowd = [Leaver.drawn(dice, first + each) for each in range(AT_ONCE)]
                await asyncio.gather(*(each.play(inside) for each in crowd))
            await inside.quiet()  # where an upstream still talked to nobody, this would never come
        assert Counter(garbage) == {}
        health, clock = inside.standing.desk.snapshot.health, inside.standing.desk.clock
        assert {health.state(name, clock.mono()) for name in ("well", "narrow")} == {"closed"}
        stays = await inside.asker()
        assert DONE in await stays.call("well")
    return inside.rows()


def check(rows, number):
    """Each call that was let in has one reservation and one end, and they left in every phase there is."""
    begun = Counter(call for kind, call, _ in rows if kind == "reserve")
    ended = Counter(call for kind, call, _ in rows if kind in END)
    assert begun == ended
    assert set(begun.values()) == {1}
    assert number * 0.8 <= len(begun) <= number + 1
    results = Counter(result for kind, _, result in rows if kind in END)
    assert results["caller_gone"] > number / 2
    assert (
        {"caller_gone", "ok"}
        <= set(results)
        <= {"caller_gone", "ok", "upstream_unavailable", "upstream_error"}
    )


@pytest.mark.fault("c11-any")
@pytest.mark.parametrize("seed", range(1))
def test_of_a_thousand_who_leave_in_any_phase_none_leaves_anything_behind(tmp_path, seed):
    check(uvloop.run(leave(tmp_path, 1000, seed)), 1000)


@pytest.mark.fault("c11-any")
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, 21))
def test_of_twenty_thousand_who_leave_in_any_phase_none_leaves_anything_behind(tmp_path, seed):
    check(uvloop.run(leave(tmp_path, 1000, seed)), 1000)


PROBE = b"GET /healthz HTTP/1.1\r\nhost: proxy\r\n\r\n"


async def end_in_line(folder):
    """Callers who are cut off, or leave, while requests of theirs are still in line."""
    async with one_loop(folder, TABLE) as inside:
        with found_garbage() as garbage:
            greedy, hasty = await inside.asker(), await inside.asker()
            greedy.transport.write(PROBE * 100)  # more than may be in line
            hasty.transport.write(ask("well") + ask("well"))
            hasty.leave("reset")
            await greedy.until(b"never")
            assert greedy.lost
            del greedy, hasty
            await inside.quiet()
        assert Counter(garbage) == {}


def test_a_connection_that_ends_with_requests_in_line_leaves_nothing_behind(tmp_path):
    uvloop.run(end_in_line(tmp_path))


async def be_refused(folder):
    """One caller after the other is told no: by the upstreams, for the model, for the body, for the place."""
    async with one_loop(folder, TABLE) as inside:
        with found_garbage() as garbage:
            asker = await inside.asker()
            elsewhere = b"GET /nowhere HTTP/1.1\r\nhost: proxy\r\n\r\n"
            for asked in (ask("503"), ask("well", "none"), ask("well").replace(b"true", b"oops"), elsewhere):
                asker.got = b""
                asker.transport.write(asked)
                assert b'"error"' in await asker.until(b'"code":')
            asker.leave("close")
            await asker.until(b"never")
            del asker
            await inside.quiet()
        assert Counter(garbage) == {}


def test_a_call_that_is_refused_leaves_nothing_behind(tmp_path):
    uvloop.run(be_refused(tmp_path))


CALLS_OWN = {"_Story", "Account", "Book", "Flow", "OpenAttempt", "Plan", "Watch"}


async def leave_a_socket(folder):
    """A caller leaves a WebSocket in the middle of an answer."""
    async with one_loop(folder, TABLE) as inside:
        with found_garbage() as garbage:
            port = inside.listeners.bound[Listener.PUBLIC].port
            async with aiohttp.ClientSession() as session:
                line = await session.ws_connect(f"http://127.0.0.1:{port}/v1/chat/stream")
                body = {"model": "chat", "messages": [{"role": "user", "content": "4"}]}
                await line.send_json({"type": "request", "body": body})
                assert (await line.receive_json())["type"] == "start"
                line._response.connection.transport.abort()
            await inside.quiet()
        assert CALLS_OWN.isdisjoint(kind.__name__ for kind in garbage), "of the call"
    assert [result for _, _, result in inside.rows()] == [None, "caller_gone"]


def test_of_a_call_over_a_socket_that_is_left_nothing_stays_behind(tmp_path):
    uvloop.run(leave_a_socket(tmp_path))
