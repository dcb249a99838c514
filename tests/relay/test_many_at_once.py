"""Faults that many calls meet at the same moment: fifty with one refused key, fifty when time jumps."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from proxy.errors import Failure
from proxy.relay import answer
from proxy.table import Timeouts
from tests.kit.scripted_ports import (
    STALL,
    Pause,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    fails,
    stream,
    table,
)
from tests.kit.virtual import VirtualLoop, play

MANY = 50


async def told(at, number, caller):
    """One call; the code of what its caller is told, or None."""
    try:
        await answer(at, caller, call(number))
    except Failure as failure:
        return failure.told.code
    return None


async def together(at):
    """Many calls at the same moment: their callers, and what these were told before an answer began."""
    callers = [RecordingCaller() for _ in range(MANY)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(told(at, number, caller)) for number, caller in enumerate(callers)]
    return callers, [task.result() for task in tasks]


def refused(status, code):
    return fails(status, {"error": {"message": "no", "type": code, "param": None, "code": code}})


REFUSALS = {
    "a key that was taken back": (refused(401, "invalid_api_key"), "auth"),
    "an account that is empty": (refused(429, "insufficient_quota"), "money"),
}


@pytest.mark.fault("b5-key-race", "b4-money")
@pytest.mark.parametrize(("refusal", "why"), REFUSALS.values(), ids=REFUSALS.keys())
def test_an_account_refused_under_many_calls_is_closed_once_and_all_are_answered_elsewhere(refusal, why):
    upstreams = ScriptedUpstreams(a=[replace(refusal, before=0.5)], b=[stream("fine")])
    at = desk(table("a", "b", attempts=3), upstreams)

    async def story():
        callers, codes = await together(at)
        assert codes == [None] * MANY
        assert [caller.text for caller in callers] == ["fine"] * MANY
        assert upstreams.asked.count("a") == MANY, "each once: a refused key is not tried again"
        assert at.snapshot.health.troubles(1.0) == {"a": why}
        upstreams.asked.clear()
        for number in range(MANY):
            assert await told(at, MANY + number, RecordingCaller()) is None
        assert upstreams.asked == ["b"] * MANY, "until somebody mends it, nobody is sent there"

    play(story())
    assert at.snapshot.health.outstanding == 0


@pytest.mark.fault("b4-money")
def test_of_many_calls_one_finds_out_whether_an_empty_account_was_filled():
    upstreams = ScriptedUpstreams(a=[refused(402, "billing_error")], b=[stream("fine")])
    at = desk(table("a", "b"), upstreams)

    async def story():
        await together(at)
        upstreams.asked.clear()
        await asyncio.sleep(400)  # five minutes, and a fifth more by chance
        upstreams._scripts["a"] = [replace(refused(402, "billing_error"), before=1.0)]
        _, codes = await together(at)
        assert codes == [None] * MANY
        assert Counter(upstreams.asked) == {"a": 1, "b": MANY}

    play(story())


class Leaping(VirtualLoop):
    """A loop whose clock leaps ahead while the process stands still."""

    def leap(self, seconds: float) -> None:
        self._now += seconds


LEAP_S = 60.0
PARTS = {
    "before the head": Says(before=1e6),
    "before content": Says(steps=[event({"role": "assistant", "content": ""}), STALL]),
    "a second try": fails(429, retry_after="1"),
}


@pytest.mark.fault("d3-jump")
@pytest.mark.parametrize("says", PARTS.values(), ids=PARTS.keys())
def test_after_a_leap_of_the_clock_each_call_goes_on_once_and_no_burst_of_tries_follows(says):
    """As after a stop of the whole process: every deadline is over at once, and each means one step."""
    times = Timeouts(first_token_s=30.0)
    upstreams = ScriptedUpstreams(a=[says], b=[stream("fine")])
    at = desk(table("a", "b", timeouts=times, attempts=2, in_place_s=3.0), upstreams)

    async def story():
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, loop.leap, LEAP_S)
        callers, codes = await together(at)
        assert codes == [None] * MANY
        assert [caller.text for caller in callers] == ["fine"] * MANY

    play(story(), loop=Leaping)
    asked = Counter(upstreams.asked)
    assert asked["b"] == MANY
    assert asked["a"] <= 2 * MANY
    assert max(Counter(len(one.outcome.attempts) for _, one in at.ledger.settled)) <= 3
    assert at.snapshot.health.outstanding == 0


@pytest.mark.fault("d3-jump")
def test_a_stream_that_was_told_while_the_clock_stood_still_is_whole_after_a_leap():
    upstreams = ScriptedUpstreams(a=[stream("so ", "far", steps=[Pause(1.0), *stream("!").steps[1:]])])
    at, caller = desk(table("a", timeouts=Timeouts(idle_s=90.0)), upstreams), RecordingCaller()

    async def story():
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, loop.leap, LEAP_S)
        assert await told(at, 1, caller) is None

    play(story(), loop=Leaping)
    assert caller.text == "so far!"
    assert caller.errors == []
