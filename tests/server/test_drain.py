"""The end: newcomers are turned away, those inside finish or are told, and nobody waits for ever."""

import asyncio

import pytest

from proxy.errors import Told
from proxy.server.visit import Listener
from proxy.wire.failure import error_event
from tests.server.running import chat, http


class Held:
    """A story that has begun and waits for the test."""

    def __init__(self, *, begin=True):
        self.begin = begin
        self.inside = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = False

    async def __call__(self, caller, call):
        try:
            if self.begin:
                await caller.start(200, {})
                caller.write(b"data: 1\n\n")
            self.inside.set()
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            if self.begin:
                caller.write(error_event(Told(503, "shutting down", "server_error", "shutdown")))
                caller.abort()
            raise
        if not self.begin:
            await caller.start(200, {})
        caller.write(b"data: [DONE]\n\n")
        await caller.finish()


async def entered(house, held, *, stream=True):
    house.answer = held
    line = await house.connect()
    line.send(chat({"stream": stream}))
    await held.inside.wait()
    return line


async def test_readiness_fails_first_while_liveness_does_not(house):
    house.gate.close()
    for listener in (Listener.PUBLIC, Listener.PROBES):
        reply = await house.send(http("GET", "/readyz", key=None), listener)
        assert (reply.status, reply.json["status"]) == (503, "draining")
        assert (await house.send(http("GET", "/healthz", key=None), listener)).status == 200


@pytest.mark.fault("d1-drain")
async def test_a_newcomer_is_told_to_come_back_elsewhere(house):
    house.gate.close()
    reply = await house.send(chat())
    assert (reply.status, reply.code) == (503, "draining")
    assert reply.headers["connection"] == "close"
    assert reply.headers["x-should-retry"] == "true"
    assert reply.headers["retry-after"] == "1"
    assert not house.calls


async def test_a_call_inside_is_finished_before_the_drain_is_over(house):
    held = Held()
    line = await entered(house, held)
    await line.head()
    drain = asyncio.ensure_future(house.listeners.drain(3600))
    assert (await house.send(chat())).code == "draining"
    assert not drain.done()
    held.go.set()
    assert (await line.chunks()).endswith(b"data: [DONE]\n\n")
    await drain
    assert not held.cancelled


async def test_a_stream_that_outlives_the_drain_ends_with_an_error_and_no_done(house):
    held = Held()
    line = await entered(house, held)
    await house.listeners.drain(0)
    await line.head()
    rest = await line.reader.read()
    assert b'"code":"shutdown"' in rest
    assert b"[DONE]" not in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert held.cancelled


@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_cut_before_its_answer_began_is_told_503(house, stream):
    line = await entered(house, Held(begin=False), stream=stream)
    await house.listeners.drain(0)
    reply = await line.answer()
    assert (reply.status, reply.code) == (503, "draining")
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["connection"] == "close"


@pytest.mark.fault("d1-again")
async def test_a_second_signal_cuts_the_waiting_short(house):
    held = Held()
    await entered(house, held)
    drain = asyncio.ensure_future(house.listeners.drain(3600))
    assert (await house.send(chat())).code == "draining"
    house.listeners.hurry()
    await drain
    assert held.cancelled


async def test_a_quiet_house_drains_at_once(house):
    await house.listeners.drain(3600)
    assert house.gate.draining
