"""Calls with an `idempotency-key` that fail: told to all, remembered if something may have been spent."""

import asyncio

import pytest

from proxy.call import Billed
from proxy.errors import AllFailed, Told, bad_request, unavailable
from tests.server.test_hangup import leave
from tests.server.twins import BODY, CUT, END, ONE, ask, until

FREE = {
    "ours": bad_request("no", param="messages"),
    "spent limit": unavailable("later", "ledger_unavailable", retry_after_s=1),
    "nobody": AllFailed(Told(502, "all failed", "server_error", "upstream_error", should_retry=False)),
}


@pytest.mark.parametrize("failure", FREE.values(), ids=FREE)
async def test_a_failure_that_cost_nothing_is_told_to_all_and_forgotten(house, story, failure):
    story.billed = Billed.NO
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(failure)
    replies = [await first.answer(), await second.answer()]
    assert [reply.status for reply in replies] == [failure.told.status] * 2
    assert [reply.code for reply in replies] == [failure.told.code] * 2
    assert len({reply.headers["x-request-id"] for reply in replies}) == 2
    assert (await story.answered(ask(), ONE, END, number=1)).body == ONE


async def test_a_failure_that_may_have_cost_something_is_409_from_then_on(house, story):
    story.billed = Billed.UNKNOWN
    line, telling = await story.joined(ask())
    telling.say(AllFailed(Told(504, "too slow", "server_error", "upstream_timeout", should_retry=False)))
    assert (await line.answer()).status == 504
    assert (await house.send(ask())).code == "idempotency_conflict"
    assert len(house.calls) == 1


async def test_a_stream_that_broke_is_told_to_its_twins_and_not_again(house, story):
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(ONE, CUT)
    bodies = [(await line.answer()).body for line in (first, second)]
    assert bodies[0] == bodies[1]
    assert b"upstream_broken" in bodies[0]
    assert (await house.send(ask())).status == 409


async def test_a_defect_is_500_for_every_twin_and_forgotten(house, story):
    story.billed = Billed.NO
    first, telling = await story.joined(ask())
    second, _ = await story.joined(ask(), listeners=2)
    telling.say(RuntimeError("canary-secret-in-error"))
    for line in (first, second):
        reply = await line.answer()
        assert (reply.status, reply.code) == (500, "internal_error")
        assert b"canary" not in reply.body
    assert (await story.answered(ask(), ONE, END, number=1)).status == 200


async def test_a_defect_that_nobody_is_left_to_hear_of_is_in_the_log(house, caplog):
    async def answer(caller, call):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise RuntimeError("while it was being settled")

    house.answer = answer
    line = await house.connect()
    line.send(ask())
    await until(lambda: house.calls)
    leave(line, "reset")
    await until(lambda: not house.twins._shared)
    (record,) = [record for record in caplog.records if record.name == "proxy.twins"]
    assert record.request_id == house.calls[0].id
    assert record.exc_info[0] is RuntimeError


async def test_a_story_without_an_answer_is_500(house):
    async def answer(caller, call):
        return None

    house.answer = answer
    assert (await house.send(ask())).status == 500


@pytest.mark.parametrize("way", ["raises", "forgets"])
async def test_half_of_a_whole_answer_is_none(house, way):
    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(BODY)
        if way == "raises":
            raise RuntimeError("canary")

    house.answer = answer
    reply = await house.send(ask({"stream": False}))
    assert (reply.status, reply.code) == (500, "internal_error")


async def test_a_story_that_forgets_to_finish_is_cut(house):
    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(ONE)

    house.answer = answer
    line = await house.connect()
    line.send(ask())
    await line.head()
    assert await line.reader.read() == b"9\r\ndata: 1\n\n\r\n"
