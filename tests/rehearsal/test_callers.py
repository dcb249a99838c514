"""Who calls, and what they make of what they get."""

import asyncio
import json
from itertools import pairwise

import pytest

from proxy.call import Call, Identity
from proxy.rehearsal.callers import BUFFER_EVENTS, Arrival, Listener, arrivals
from proxy.rehearsal.grammar import LoadPart, ScriptFile
from proxy.rehearsal.script import Script
from proxy.rehearsal.time import FreeLoop, Hour, SeededDice

DONE = b"data: [DONE]\n\n"


def event(content=None, finish=None):
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def whole(text, finish="stop"):
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}).encode()


STOP = event(finish="stop")
ERROR = b'data: {"error": {"message": "no", "type": "server_error", "param": null, "code": null}}\n\n'
COUNTED = event(" 1") + event(" 2 3")


@pytest.mark.parametrize(
    ("heard", "verdict"),
    [
        (COUNTED + STOP + DONE, "whole"),
        (b": ping\n\n" + COUNTED + STOP + DONE, "whole"),
        (COUNTED + STOP, "broken"),
        (COUNTED + DONE, "broken"),
        (COUNTED + ERROR, "broken"),
        (b"", "broken"),
        (event(" 1") + event(" 3") + STOP + DONE, "garbled"),
        (event(" 1") + event(" 1 2 3") + STOP + DONE, "garbled"),
        (COUNTED + event(" 4") + STOP + DONE, "garbled"),
        (event(" 1 2") + STOP + DONE, "garbled"),
        (event(" 1 2") + event(finish="length") + DONE, "whole"),
        (event(" 1 3") + event(finish="length") + DONE, "garbled"),
    ],
)
def test_a_stream_is_whole_only_if_every_word_is_there_once_and_it_ends_well(heard, verdict):
    assert judged(heard, stream=True) == verdict


@pytest.mark.parametrize(
    ("heard", "verdict"),
    [
        (whole(" 1 2 3"), "whole"),
        (whole(" 1 2", "length"), "whole"),
        (whole(" 1 2"), "garbled"),
        (whole("Simulated answer"), "garbled"),
    ],
)
def test_an_answer_that_is_not_streamed_too(heard, verdict):
    assert judged(heard, stream=False) == verdict


def judged(heard, *, stream, ended=True):
    call = Call("req_1", 0, Identity("acme", "key"), "m", {}, 9, stream, include_usage=False)

    async def told():
        listener = Listener(None, lambda: 0.0)
        assert listener.write(heard) is None
        if ended:
            await listener.finish()
        return listener.verdict(Arrival(0.0, call, 3))

    return asyncio.run(told())


def test_what_was_cut_off_is_broken_however_much_of_it_came():
    assert judged(COUNTED + STOP + DONE, stream=True, ended=False) == "broken"


def test_a_slow_reader_holds_the_proxy_up_once_the_room_between_them_is_full():
    async def story():
        loop, listener = asyncio.get_running_loop(), Listener(10.0, Hour())
        for _ in range(BUFFER_EVENTS - 6):
            assert listener.write(STOP) is None
        assert await held_up(loop, listener, STOP * 16) == pytest.approx(1.0)
        await asyncio.sleep(5.0)
        assert listener.write(STOP * 40) is None
        return await held_up(loop, listener, STOP * 11)

    async def held_up(loop, listener, data):
        since = loop.time()
        await listener.write(data)
        return loop.time() - since

    with asyncio.Runner(loop_factory=FreeLoop) as runner:
        assert runner.run(story()) == pytest.approx(0.1)


class NoonClock:
    def wall_us(self):
        return 1_000_000_000

    def mono(self):
        return 0.0


def drawn(seed="1", **load):
    part = LoadPart.model_validate(load)
    file = ScriptFile()
    script = Script(part, file.healthy, (), file.expect, part.models or {"chat": 1})
    return list(arrivals(script, NoonClock(), SeededDice(seed)))


def test_calls_come_at_the_rate_that_is_asked_for():
    came = drawn(calls="10/s", **{"for": "100s"})
    assert 900 < len(came) < 1100
    assert all(before.at <= after.at for before, after in pairwise(came))
    assert came[-1].at < 100


def test_calls_are_what_the_load_says_in_the_parts_that_it_says():
    came = drawn(
        calls="20/s", **{"for": "100s"}, streams="75%", models={"a": 3, "b": 1}, tenants=["x", "y"], users=5
    )
    number = len(came)
    assert sum(one.call.stream for one in came) / number == pytest.approx(0.75, abs=0.05)
    assert sum(one.call.model == "a" for one in came) / number == pytest.approx(0.75, abs=0.05)
    assert sum(one.call.identity.tenant == "x" for one in came) / number == pytest.approx(0.5, abs=0.05)
    assert len({one.call.identity.user for one in came}) == 10
    assert {one.call.identity.key_id for one in came} == {"key-of-x", "key-of-y"}
    assert len({one.call.id for one in came}) == number


def test_prompts_and_answers_have_the_size_that_is_asked_for():
    for arrival in drawn(prompt="100-200", answer="5-9"):
        (message,) = arrival.call.body["messages"]
        assert 95 <= len(message["content"]) / 4 <= 200
        assert message["content"].endswith(f"Count to {arrival.words}.")
        assert 5 <= arrival.words <= 9


def test_the_same_seed_is_the_same_calls():
    assert drawn() == drawn()
    assert [one.at for one in drawn()] != [one.at for one in drawn("2")]
