"""A caller who leaves, phase by phase: nothing more is asked, nobody is blamed, and what was used is paid."""

import asyncio
from itertools import count

import pytest

from proxy.call import Billed
from proxy.relay import answer
from proxy.table import OnMidstream
from proxy.usage import Source
from tests.kit.scripted_ports import (
    DONE,
    RESET,
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
    usage_event,
    whole,
)
from tests.kit.virtual import play

ROLE = event({"role": "assistant", "content": ""})
FINISH = event(finish="stop")
WHOLE = stream("so ", "far")
PHASES = {
    "before the head": (Says(before=1e6), 0),
    "before the first content": (Says(steps=[ROLE, STALL]), 0),
    "in the middle": (stream("so ", "far", steps=[STALL]), 2),
    "between the last word and the count": (stream("so ", "far", steps=[FINISH, STALL]), 2),
}
"""What the upstream says before it falls silent, and how many tokens of it were seen."""


def left(upstreams, after_s=1.0, **route):
    """Play a call whose caller leaves after so long: (caller, desk)."""
    at, caller = desk(table("a", **route), upstreams), RecordingCaller()

    async def story():
        task = asyncio.get_running_loop().create_task(answer(at, caller, call()))
        await asyncio.sleep(after_s)
        caller.gone = True
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    play(story())
    assert upstreams.open == 0, "the upstream still talks"
    assert at.snapshot.health.outstanding == 0
    assert at.snapshot.health.state("a", after_s) == "closed"
    assert len(at.ledger.settled) == 1
    assert at.ledger.open == {}
    assert at.ledger.outcome.result == "caller_gone"
    return caller, at


@pytest.mark.fault("c11-head", "c11-role", "c11-mid", "c11-usage")
@pytest.mark.parametrize(("says", "seen"), PHASES.values(), ids=PHASES.keys())
def test_whoever_leaves_is_charged_what_was_seen_and_never_nothing(says, seen):
    caller, at = left(ScriptedUpstreams(a=[says]))
    outcome = at.ledger.outcome
    assert at.ledger.settled[0][0] == "commit"
    assert outcome.usage.input > 0
    assert outcome.usage.output >= seen
    assert outcome.usage.source is not Source.REPORTED
    (attempt,) = outcome.attempts
    assert attempt.result == "caller_gone"
    assert attempt.billed is (Billed.YES if seen else Billed.UNKNOWN)
    assert b"[DONE]" not in caller.body


@pytest.mark.fault("c11-backoff")
def test_while_a_second_try_is_waited_for_nothing_more_is_asked():
    upstreams = ScriptedUpstreams(a=[fails(429, retry_after="2"), WHOLE])
    _, at = left(upstreams, attempts=2, in_place_s=3.0)
    assert upstreams.asked == ["a"]
    assert at.ledger.settled[0][0] == "release"
    assert at.ledger.outcome.nano_usd == 0


@pytest.mark.fault("c11-done")
def test_after_the_end_it_is_an_answer_like_any_other():
    """The last word is out; the caller closes before our accounts are settled."""
    upstreams = ScriptedUpstreams(a=[WHOLE])
    at, caller = desk(table("a"), upstreams), RecordingCaller()

    async def story():
        task = asyncio.get_running_loop().create_task(answer(at, caller, call()))
        while not caller.finished:  # noqa: ASYNC110  # the moment itself is what is wanted
            await asyncio.sleep(0)
        caller.gone = True
        task.cancel()
        await asyncio.wait([task])

    play(story())
    assert caller.body.endswith(DONE)
    assert len(at.ledger.settled) == 1
    outcome = at.ledger.outcome
    assert (outcome.usage.input, outcome.usage.output, outcome.usage.source) == (5, 2, Source.REPORTED)


BREAKS = Says(steps=[ROLE, Pause(0), event({"content": "so "}), Pause(0), RESET])
STEPS = Says(steps=[ROLE, Pause(0), event({"content": "so "}), Pause(0), FINISH, usage_event(), DONE])
WRONG = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
COURSES = {
    "streamed": ({"a": [fails(503)], "b": [STEPS]}, True),
    "whole": ({"a": [fails(503)], "b": [whole("so far")]}, False),
    "mended": ({"a": [BREAKS], "b": [STEPS]}, True),
    "refused": ({"a": [fails(400, WRONG)], "b": [STEPS]}, True),
}


@pytest.mark.fault("c11-any", "c11-reserve")
@pytest.mark.parametrize(("scripts", "streamed"), COURSES.values(), ids=COURSES.keys())
def test_at_whichever_turn_of_the_loop_a_caller_leaves_the_call_has_one_end(scripts, streamed):
    """Every await of the story is left once: turn after turn, until it is over before its caller leaves."""
    for turn in count():
        upstreams, caller = ScriptedUpstreams(**scripts), RecordingCaller()
        at = desk(table("a", "b", on_midstream=OnMidstream.RESTART), upstreams)

        async def story(at=at, caller=caller, turn=turn):
            task = asyncio.get_running_loop().create_task(answer(at, caller, call(stream=streamed)))
            for _ in range(turn):
                await asyncio.sleep(0)
            over = task.done()
            caller.gone = not over
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return over

        over = play(story())
        assert upstreams.open == 0
        assert at.snapshot.health.outstanding == 0
        assert at.ledger.open == {}, turn
        assert len(at.ledger.settled) == bool(turn), "before its first turn a call does not exist"
        if over:
            break
    assert turn > 2
