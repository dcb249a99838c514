"""A second target asked beside one that is late: who answers, who is called off, and what it costs."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.errors import Failure
from proxy.relay import answer
from proxy.table import BreakerRules, Every, Limit, OnMidstream, Per, Timeouts, Unit
from tests.kit.mending import ASKS_USAGE, check_broken, check_whole
from tests.kit.scripted_ports import (
    DONE,
    REFUSED,
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
    notes_of,
    stream,
    table,
    whole,
)
from tests.kit.virtual import play

ROLE = event({"role": "assistant", "content": ""})
SILENT = Says(steps=[ROLE, STALL])


def after(seconds, says):
    """The same answer, its first byte so late."""
    return replace(says, steps=[Pause(seconds), *says.steps])


def one(book, upstreams, asked=None):
    """Play one call to its end: (failure, caller, desk)."""
    at, caller = desk(book, upstreams), RecordingCaller()

    async def story():
        try:
            await answer(at, caller, asked or call())
        except Failure as failure:
            return failure
        return None

    failure = play(story())
    assert upstreams.open == 0, "a body leaked"
    assert at.snapshot.health.outstanding == 0
    return failure, caller, at


def tried(at):
    return [(one.upstream, one.result) for one in at.ledger.outcome.attempts]


def test_who_is_quick_enough_is_not_overtaken():
    upstreams = ScriptedUpstreams(a=[after(2.9, stream("fine"))], b=[stream("never")])
    _, caller, at = one(table("a", "b", hedge_s=3.0), upstreams)
    check_whole(caller, "fine")
    assert upstreams.asked == ["a"]
    assert tried(at) == [("a", "ok")]


def test_a_slow_answer_that_has_begun_is_not_overtaken():
    slow = stream("a", steps=[Pause(50), event({"content": "b"}), event(finish="stop"), DONE])
    upstreams = ScriptedUpstreams(a=[slow], b=[stream("never")])
    _, caller, _ = one(table("a", "b", hedge_s=3.0), upstreams)
    check_whole(caller, "ab")
    assert upstreams.asked == ["a"]


def test_a_second_target_answers_for_one_that_is_late_and_the_late_one_is_called_off():
    upstreams = ScriptedUpstreams(a=[SILENT], b=[stream("fine")])
    _, caller, at = one(table("a", "b", hedge_s=3.0), upstreams)
    check_whole(caller, "fine")
    assert caller.headers["x-fallthrough-upstream"] == "b"
    assert caller.headers["x-fallthrough-attempts"] == "2"
    outcome = at.ledger.outcome
    assert (outcome.result, outcome.upstream, outcome.total_ms) == ("ok", "b", 3_000)
    assert tried(at) == [("a", "outrun"), ("b", "ok")]
    late = outcome.attempts[0]
    assert late.usage.input > 0, "its prompt may have been read and billed"
    assert late.usage.output == 0
    assert outcome.usage.input == late.usage.input + 5
    assert at.snapshot.health.troubles(3.0) == {}, "being late is not being broken"


def test_the_late_one_may_still_win():
    upstreams = ScriptedUpstreams(a=[after(4, stream("first"))], b=[SILENT])
    _, caller, at = one(table("a", "b", hedge_s=3.0), upstreams)
    check_whole(caller, "first")
    assert caller.headers["x-fallthrough-attempts"] == "1"
    assert sorted(tried(at)) == [("a", "ok"), ("b", "outrun")]


def test_both_at_once_give_one_answer():
    for pause in (3.0, 4.0):
        upstreams = ScriptedUpstreams(a=[after(pause, stream("x"))], b=[after(pause - 3.0, stream("x"))])
        _, caller, at = one(table("a", "b", hedge_s=3.0), upstreams)
        check_whole(caller, "x")
        assert sorted(result for _, result in tried(at)) in (["ok", "outrun"], ["ok"])


TROUBLE = [fails(503), REFUSED, RESET, Says(steps=[ROLE, RESET]), Says(steps=[b"data: nonsense\n\n"])]


@pytest.mark.parametrize("trouble", TROUBLE)
def test_if_the_second_fails_the_first_is_relied_on(trouble):
    upstreams = ScriptedUpstreams(a=[after(9, stream("fine"))], b=[trouble], c=[stream("never")])
    _, caller, at = one(table("a", "b", "c", hedge_s=3.0), upstreams)
    check_whole(caller, "fine")
    assert upstreams.asked == ["a", "b"], "one is asked beside it, not one after another"
    assert tried(at)[0] == ("a", "ok")


@pytest.mark.parametrize("trouble", [one for one in TROUBLE if isinstance(one, Says)])
def test_if_the_first_fails_the_second_is_relied_on(trouble):
    upstreams = ScriptedUpstreams(a=[after(5, trouble)], b=[after(9, stream("fine"))], c=[stream("never")])
    _, caller, at = one(table("a", "b", "c", hedge_s=3.0), upstreams)
    check_whole(caller, "fine")
    assert upstreams.asked == ["a", "b"]
    assert tried(at)[1] == ("b", "ok")


def test_a_fault_of_the_callers_ends_both():
    wrong = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
    upstreams = ScriptedUpstreams(a=[SILENT], b=[fails(400, wrong)])
    failure, caller, at = one(table("a", "b", hedge_s=3.0), upstreams)
    assert failure.told.status == 400
    assert caller.status is None
    assert tried(at) == [("a", "outrun"), ("b", "caller")]


def test_when_both_fail_the_others_are_asked_as_ever():
    upstreams = ScriptedUpstreams(a=[after(5, fails(503))], b=[after(1, fails(503))], c=[stream("fine")])
    _, caller, _ = one(table("a", "b", "c", hedge_s=3.0), upstreams)
    check_whole(caller, "fine")
    assert upstreams.asked == ["a", "b", "c"]
    nobody = ScriptedUpstreams(a=[after(5, fails(500))], b=[fails(500)])
    failure, _, _ = one(table("a", "b", attempts=1, hedge_s=3.0), nobody)
    assert failure.told.status == 502


def test_whole_answers_are_not_hedged():
    late = replace(whole("fine"), before=20.0)
    upstreams = ScriptedUpstreams(a=[late], b=[whole("never")])
    _, caller, _ = one(table("a", "b", hedge_s=3.0), upstreams, call(stream=False))
    assert b"fine" in caller.body
    assert upstreams.asked == ["a"]


def test_nobody_is_asked_beside_who_is_alone_or_through_a_spent_limit():
    alone = ScriptedUpstreams(a=[after(30, stream("fine"))])
    _, caller, _ = one(table("a", hedge_s=3.0), alone)
    check_whole(caller, "fine")
    limit = Limit(Unit.REQUESTS, 0, Every.DAY, upstream="b")
    spent = ScriptedUpstreams(a=[after(30, stream("fine"))], b=[stream("never")])
    _, caller, _ = one(table("a", "b", limits=(limit,), hedge_s=3.0), spent)
    check_whole(caller, "fine")
    assert spent.asked == ["a"]


def test_a_slow_hour_does_not_double_what_everybody_is_asked():
    """Hedges come out of the budget of second tries: three, and a fifth of the calls."""

    async def story():
        upstreams = ScriptedUpstreams(a=[after(4, stream("slow"))], b=[SILENT])
        at = desk(table("a", "b", hedge_s=3.0), upstreams)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(answer(at, RecordingCaller(), call(number)))
        return upstreams

    asked = play(story()).asked
    assert asked.count("a") == 100
    assert asked.count("b") == 3


def test_no_limit_is_overshot_by_two_answers_at_once():
    limit = Limit(Unit.TOKENS, 10_000, Every.DAY, per=Per.TENANT)
    upstreams = ScriptedUpstreams(a=[SILENT], b=[stream("fine")])
    _, _, at = one(table("a", "b", limits=(limit,), max_output_tokens=8, hedge_s=3.0), upstreams)
    ((_, settlement),) = at.ledger.settled
    assert settlement.charges[0].amount == at.ledger.outcome.usage.total
    assert settlement.charges[0].amount <= 2 * (call().prompt_bytes + 8)


@pytest.mark.parametrize("when", [1.0, 3.5, 7.0])
def test_a_caller_who_hangs_up_in_any_phase_leaves_nothing_behind(when):
    async def story():
        talks = stream("some", steps=[STALL])
        upstreams = ScriptedUpstreams(a=[SILENT], b=[after(3, talks)])
        at = desk(table("a", "b", hedge_s=3.0, timeouts=Timeouts(1e7, 1e7, 1e7, 1e7, 1e7)), upstreams)
        caller = RecordingCaller()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(answer(at, caller, call()))
            await asyncio.sleep(when)
            caller.gone = True
            task.cancel()
        assert task.cancelled()
        return at, upstreams

    at, upstreams = play(story())
    assert upstreams.open == 0
    assert at.snapshot.health.outstanding == 0
    assert at.ledger.outcome.result == "caller_gone"
    assert len(at.ledger.outcome.attempts) == (1 if when < 3 else 2)
    assert at.snapshot.health.troubles(when) == {}


def test_who_was_overtaken_is_called_so_even_if_the_caller_leaves_in_the_same_moment():
    class Hasty(RecordingCaller):
        async def start(self, status, headers):
            await super().start(status, headers)
            self.gone = True
            self.story.cancel()

    async def story():
        at, caller = (
            desk(table("a", "b", hedge_s=3.0), ScriptedUpstreams(a=[SILENT], b=[stream("fine")])),
            Hasty(),
        )
        async with asyncio.TaskGroup() as group:
            caller.story = group.create_task(answer(at, caller, call()))
        return at

    assert tried(play(story())) == [("a", "outrun"), ("b", "ok")]


def test_a_winner_that_breaks_is_mended_by_the_one_that_was_called_off():
    vllm = [SILENT, stream(" far")]
    upstreams = ScriptedUpstreams(
        **{"vllm-a": vllm, "b": [Says(steps=[ROLE, event({"content": "so"}), RESET])]}
    )
    book = table("vllm-a", "b", hedge_s=3.0, on_midstream=OnMidstream.CONTINUE)
    _, caller, at = one(book, upstreams, call(**ASKS_USAGE))
    check_whole(caller, "so far")
    assert tried(at) == [("vllm-a", "outrun"), ("b", "broken"), ("vllm-a", "ok")]


def test_a_winner_that_breaks_is_told_as_broken():
    upstreams = ScriptedUpstreams(a=[SILENT], b=[Says(steps=[ROLE, event({"content": "so"}), RESET])])
    _, caller, _ = one(table("a", "b", hedge_s=3.0), upstreams)
    check_broken(caller, "so far")


def test_the_silence_of_who_was_overtaken_opens_no_breaker():
    async def story():
        upstreams = ScriptedUpstreams(a=[SILENT], b=[stream("fine")])
        book = table("a", "b", hedge_s=3.0)
        strict = {
            name: replace(one, breaker=BreakerRules(failures=1)) for name, one in book.upstreams.items()
        }
        at = desk(replace(book, upstreams=strict), upstreams)
        await answer(at, RecordingCaller(), call())
        return at

    at = play(story())
    assert at.snapshot.health.state("a", 3.0) == "closed"
    assert notes_of(at).breakers == []


class BrokenCaller(RecordingCaller):
    def write(self, data):
        raise RuntimeError("a defect")


def test_a_defect_of_ours_still_settles_both():
    async def story():
        at = desk(table("a", "b", hedge_s=3.0), ScriptedUpstreams(a=[SILENT], b=[stream("x")]))
        with pytest.raises(ExceptionGroup):
            await answer(at, BrokenCaller(), call())
        return at

    at = play(story())
    assert at.ledger.outcome.result == "internal_error"
    assert at.snapshot.health.outstanding == 0
