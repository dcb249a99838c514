"""Upstreams that send something all the time, and say nothing: an error that drips, comments without end."""

import pytest

from proxy.call import Phase
from proxy.flow import HOLD_MAX
from proxy.relay import ERROR_MAX, WHOLE_MAX, answer
from proxy.table import Timeouts
from tests.kit.scripted_ports import (
    DONE,
    STALL,
    Pause,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    stream,
    table,
    whole,
)
from tests.kit.virtual import VirtualClock, play

TIMES = Timeouts(first_token_s=10.0, whole_s=10.0, idle_s=20.0, total_s=600.0)
JSON = {"content-type": "application/json"}


def dripping(data: bytes) -> list:
    """A byte a second, for ever."""
    return [step for number in range(10_000) for step in (data[number % len(data) :][:1], Pause(1.0))]


def played(upstreams, asked):
    """One call: its caller, the desk, and when it was over."""
    at, caller = desk(table(*upstreams._scripts, timeouts=TIMES), upstreams), RecordingCaller()

    async def story():
        await answer(at, caller, asked)
        return VirtualClock().mono()

    ended = play(story())
    assert upstreams.open == 0
    return caller, at, ended


@pytest.mark.fault("b11-drip")
@pytest.mark.parametrize("status", [503, 429, 400, 401])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_an_error_that_drips_is_given_up_when_its_time_is_over(status, streamed):
    drips = Says(status, JSON, dripping(b'{"error":'))
    upstreams = ScriptedUpstreams(a=[drips], b=[stream("fine") if streamed else whole("fine")])
    caller, at, ended = played(upstreams, call(stream=streamed))
    assert b"fine" in caller.body
    assert ended == TIMES.first_token_s
    assert [attempt.result for attempt in at.ledger.outcome.attempts] == ["ambiguous", "ok"]


@pytest.mark.fault("b11-drip")
def test_a_whole_answer_that_drips_is_given_up_too():
    upstreams = ScriptedUpstreams(a=[Says(200, JSON, dripping(b'{"choices":'))], b=[whole("fine")])
    caller, _, ended = played(upstreams, call(stream=False))
    assert b"fine" in caller.body
    assert ended == TIMES.whole_s


@pytest.mark.fault("c1-pings")
def test_comments_after_content_are_no_sign_of_life():
    pings = [step for _ in range(1000) for step in (b": ping\n\n", Pause(5.0))]
    upstreams = ScriptedUpstreams(a=[stream("so ", "far", steps=pings)])
    caller, at, ended = played(upstreams, call())
    assert caller.text == "so far"
    assert [error["code"] for error in caller.errors] == ["upstream_broken"]
    assert b"ping" not in caller.body
    assert ended == TIMES.idle_s
    (attempt,) = at.ledger.outcome.attempts
    assert (attempt.result, attempt.phase) == ("broken", Phase.CONTENT)


def test_an_upstream_that_talks_without_end_and_says_nothing_is_left():
    silence = event({"role": "assistant", "content": ""}) * (HOLD_MAX // 100)
    upstreams = ScriptedUpstreams(a=[Says(steps=[silence, silence, STALL])], b=[stream("fine")])
    caller, at, _ = played(upstreams, call())
    assert caller.text == "fine"
    assert [attempt.result for attempt in at.ledger.outcome.attempts] == ["bad_answer", "ok"]


def test_a_first_word_longer_than_what_may_be_held_back_without_one_is_not_the_last():
    caller, _, _ = played(ScriptedUpstreams(a=[stream("a" * (HOLD_MAX + 1), "b", "c")]), call())
    assert caller.text == "a" * (HOLD_MAX + 1) + "bc"
    assert caller.body.endswith(DONE)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_of_an_error_without_end_no_more_is_waited_for_than_is_read(streamed):
    endless = Says(500, JSON, [b"x" * ERROR_MAX, STALL])
    upstreams = ScriptedUpstreams(a=[endless], b=[stream("b") if streamed else whole("b")])
    caller, at, ended = played(upstreams, call(stream=streamed))
    assert caller.status == 200
    assert [attempt.result for attempt in at.ledger.outcome.attempts] == ["overload", "ok"]
    assert ended == 0.0


def test_a_whole_answer_beyond_all_measure_is_none():
    huge = Says(200, JSON, [b" " * (WHOLE_MAX // 4)] * 5)
    upstreams = ScriptedUpstreams(a=[huge], b=[whole("b")])
    caller, at, _ = played(upstreams, call(stream=False))
    assert b'"b"' in caller.body
    first, second = at.ledger.outcome.attempts
    assert (first.result, first.detail, second.result) == ("bad_answer", "answer too large", "ok")
