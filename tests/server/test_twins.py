"""Calls with an `idempotency-key`: one call is made for all of them, and its answer is given again."""

import asyncio

import pytest

from proxy.call import Billed
from tests.server.running import chat
from tests.server.test_hangup import leave
from tests.server.test_slow_reader import slow_line
from tests.server.twins import BODY, DONE, END, ONE, TWO, ask, everything, until


@pytest.mark.fault("d21-twins")
async def test_twins_of_a_stream_get_the_same_events_of_one_call_each_with_its_own_request_id(house, story):
    first, telling = await story.joined(ask())
    telling.say(ONE)
    heads = [await first.head()]
    assert await first.chunk() == ONE
    second, _ = await story.joined(ask(), listeners=2)
    heads.append(await second.head())
    assert await second.chunk() == ONE
    telling.say(TWO, DONE, END)
    rests = [await first.chunks(), await second.chunks()]
    assert rests == [TWO + DONE] * 2
    assert len(house.calls) == 1
    ids = [headers["x-request-id"] for _, headers in heads]
    assert len(set(ids)) == 2
    assert ids[0] == telling.call.id
    assert all(headers["content-type"] == "text/event-stream" for _, headers in heads)
    assert not any("x-fallthrough-replayed" in headers for _, headers in heads)


async def test_twins_of_a_whole_answer_get_the_same_body_of_one_call(house, story):
    first, telling = await story.joined(ask({"stream": False}))
    second, _ = await story.joined(ask({"stream": False}), listeners=2)
    telling.say(BODY, END)
    replies = [await first.answer(), await second.answer()]
    assert [reply.body for reply in replies] == [BODY] * 2
    assert all(reply.headers["content-length"] == str(len(BODY)) for reply in replies)
    assert all(reply.headers["content-type"] == "application/json" for reply in replies)
    assert len({reply.headers["x-request-id"] for reply in replies}) == 2
    assert len(house.calls) == 1


async def test_an_old_caller_is_a_twin_as_good_as_another(house, story):
    line, telling = await story.joined(ask().replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    telling.say(ONE, DONE, END)
    await line.head()
    assert await line.reader.read() == ONE + DONE


@pytest.mark.fault("d21-replay")
@pytest.mark.parametrize(("stream", "steps"), [(True, (ONE, DONE)), (False, (BODY,))])
async def test_an_answer_is_given_again_without_a_call(house, story, stream, steps):
    told = await story.answered(ask({"stream": stream}), *steps, END)
    again = await house.send(ask({"stream": stream}))
    assert again.body == told.body == b"".join(steps)
    assert again.headers["x-fallthrough-replayed"] == "true"
    assert again.headers["x-fallthrough-upstream"] == "openai"
    assert again.headers["x-request-id"] != told.headers["x-request-id"]
    assert "x-ratelimit-remaining-requests" in told.headers
    assert "x-ratelimit-remaining-requests" not in again.headers
    assert len(house.calls) == 1


async def test_a_connection_goes_on_after_a_replay(house, story):
    await story.answered(ask({"stream": False}), BODY, END)
    line = await house.connect()
    for _ in range(3):
        line.send(ask({"stream": False}))
        assert (await line.answer()).body == BODY


async def test_without_a_key_every_call_is_made(house, story):
    plain = chat({"stream": True})
    for number in range(2):
        line = await house.connect()
        line.send(plain)
        (await story.telling(number)).say(ONE, END)
        assert (await line.answer()).body == ONE
    assert len(house.calls) == 2


# ── leaving ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["reset", "close", "half-close"])
async def test_if_the_first_leaves_the_call_goes_on_for_the_others(house, story, way):
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(ONE)
    await first.head()
    leave(first, way)
    await until(lambda: telling.listeners == 1)
    telling.say(TWO, DONE, END)
    assert (await second.answer()).body == ONE + TWO + DONE
    assert telling.ended.result() == "ok"


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_last_one_leaves_the_call_is_cancelled(house, story, begun, stream):
    first, telling = await story.joined(ask({"stream": stream}))
    second, _ = await story.joined(ask({"stream": stream}), listeners=2)
    if begun:
        telling.say(ONE)
        await until(lambda: telling.caller.headers is not None)
    leave(first, "reset")
    await until(lambda: telling.listeners == 1)
    assert not telling.ended.done()
    leave(second, "close")
    assert await telling.ended == "caller_gone"
    await until(lambda: house.gate.live == 0)


async def test_a_call_that_everybody_left_may_have_been_paid_for(house, story):
    line, telling = await story.joined(ask())
    leave(line, "reset")
    await telling.ended
    reply = await house.send(ask())
    assert (reply.status, reply.code) == (409, "idempotency_conflict")
    assert reply.headers["x-should-retry"] == "false"
    assert len(house.calls) == 1
    assert (await house.send(ask({"temperature": 1}))).status == 422


async def test_one_that_was_left_before_anything_was_spent_is_made_anew(house, story):
    story.billed = Billed.NO
    line, telling = await story.joined(ask())
    leave(line, "reset")
    await telling.ended
    assert (await story.answered(ask(), ONE, END, number=1)).body == ONE


async def test_who_comes_while_a_call_that_was_left_is_settled_waits_for_what_it_came_to(house, story):
    story.slow_to_settle = True
    line, telling = await story.joined(ask())
    leave(line, "reset")
    await until(lambda: telling.listeners == 0)
    late = [await house.connect() for _ in range(2)]
    for each in late:
        each.send(ask())
    await until(lambda: house.gate.live == 3)
    assert len(house.calls) == 1
    story.billed, story.slow_to_settle = Billed.NO, False
    telling.settling.set()
    again = await story.telling(1)
    await until(lambda: again.listeners == 2)
    again.say(ONE, END)
    assert [(await each.answer()).body for each in late] == [ONE, ONE]
    assert len(house.calls) == 2


async def test_who_leaves_when_all_is_told_takes_nothing_from_the_others(house, story):
    story.slow_to_settle = True
    line, telling = await story.joined(ask())
    telling.say(ONE, END)
    assert (await line.answer()).body == ONE
    late = await house.connect()
    late.send(ask())
    await until(lambda: house.gate.live == 2)
    leave(line, "reset")
    await until(lambda: telling.listeners == 0)
    telling.settling.set()
    reply = await late.answer()
    assert (reply.body, reply.headers["x-fallthrough-replayed"]) == (ONE, "true")
    assert telling.ended.result() == "ok"


# ── the end ───────────────────────────────────────────────────────────────────────────────────────


async def test_twins_are_live_calls(house, story):
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    assert house.gate.live == 2
    drain = asyncio.ensure_future(house.listeners.drain(3600))
    await until(lambda: house.gate.draining)
    telling.say(ONE, END)
    for line in (first, second):
        assert (await line.answer()).body == ONE
    await drain


async def test_a_drain_cuts_twins_as_it_cuts_calls(house, story):
    lines = [(await story.joined(ask(), listeners=number))[0] for number in (1, 2, 3)]
    telling = story.tellings[0]
    telling.say(ONE)
    for line in lines:
        await line.head()
    await house.listeners.drain(0)
    assert telling.ended.result() == "shutdown"
    for line in lines:
        rest = await line.reader.read()
        assert rest.startswith(b"9\r\ndata: 1\n\n\r\n")
        assert b'"code":"shutdown"' in rest
        assert not rest.endswith(b"0\r\n\r\n")


async def test_a_drain_waits_for_no_twin_that_reads_nothing(house, story):
    """Neither does it put the rest of a long answer into a buffer that is full already."""
    quick, telling = await story.joined(ask())
    slow = await slow_line(house)
    await asyncio.get_running_loop().sock_sendall(slow, ask())
    await until(lambda: telling.listeners == 2)
    events = [b"data: %s\n\n" % (b"x" * 16_000)] * 450
    telling.say(*events)
    await quick.head()
    for event in events:
        assert await quick.reader.readuntil(event)
    await house.listeners.drain(0)
    assert b'"code":"shutdown"' in await quick.reader.read()
    got = await everything(slow)
    slow.close()
    assert b"shutdown" not in got
    assert len(got) < len(events) * len(events[0])


@pytest.mark.parametrize("stream", [False, True])
async def test_twins_cut_before_the_answer_began_are_told_503(house, story, stream):
    lines = [(await story.joined(ask({"stream": stream}), listeners=number))[0] for number in (1, 2)]
    await house.listeners.drain(0)
    for line in lines:
        reply = await line.answer()
        assert (reply.status, reply.code) == (503, "draining")


async def test_a_replay_is_turned_away_while_draining(house, story):
    await story.answered(ask(), ONE, END)
    house.gate.close()
    assert (await house.send(ask())).code == "draining"
