"""Dialogues with the story: scripted upstreams, a recording caller, a ledger in memory, free time."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.call import Kind, Phase, Signal
from proxy.errors import Failure
from proxy.relay import Desk, answer
from proxy.table import BreakerRules, Every, Limit, Per, Timeouts, Unit
from proxy.usage import Source
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
    usage_event,
    whole,
)
from tests.kit.virtual import play


async def told(at: Desk, caller: RecordingCaller, asked) -> Failure | None:
    """Run one call; the failure that its caller would be told before the status line, if any."""
    try:
        await answer(at, caller, asked)
    except Failure as failure:
        return failure
    return None


def one(book, upstreams, asked=None, **caller):
    """Play one call to its end: (failure, caller, desk)."""
    at = desk(book, upstreams)
    to = RecordingCaller(**caller)
    failure = play(told(at, to, asked or call()))
    assert upstreams.open == 0, "a body leaked"
    return failure, to, at


def test_a_healthy_stream_arrives_whole_and_is_charged_as_reported():
    failure, caller, at = one(table("a"), ScriptedUpstreams(a=[stream("hel", "lo")]))
    assert failure is None
    assert caller.text == "hello"
    assert caller.body.endswith(DONE)
    assert caller.finished
    assert b'"usage":{' not in caller.body, "usage was not asked for"
    outcome = at.ledger.outcome
    assert (outcome.result, outcome.status, outcome.upstream) == ("ok", 200, "a")
    assert (outcome.usage.input, outcome.usage.output, outcome.usage.source) == (5, 2, Source.REPORTED)
    assert outcome.nano_usd == 5 * 1000 + 2 * 2000
    assert notes_of(at).outcomes == [outcome]


def test_usage_is_shown_exactly_when_asked():
    _, caller, _ = one(
        table("a"), ScriptedUpstreams(a=[stream("x")]), call(stream_options={"include_usage": True})
    )
    assert b'"prompt_tokens":5' in caller.body


def test_a_whole_answer_arrives_with_its_headers():
    _, caller, at = one(table("a"), ScriptedUpstreams(a=[whole("hi")]), call(stream=False))
    assert caller.status == 200
    assert caller.headers["x-fallthrough-upstream"] == "a"
    assert caller.headers["x-fallthrough-attempts"] == "1"
    assert caller.headers["x-request-id"] == "req_1"
    assert b"hi" in caller.body
    assert at.ledger.settled[0][0] == "commit"


def money(message="You exceeded your current quota", code="insufficient_quota"):
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


BEFORE_CONTENT = {
    "connection refused": REFUSED,
    "reset before headers": Signal(Kind.RESET, Phase.SENT),
    "500": fails(500),
    "503": fails(503),
    "529": fails(529),
    "429": fails(429),
    "429 with a long wait": fails(429, retry_after="60"),
    "no credit in a 429": fails(429, money()),
    "no credit in a 400": fails(400, money("Your credit balance is too low", "invalid_request_error")),
    "402": fails(402),
    "401": fails(401),
    "403": fails(403),
    "404": fails(404),
    "200 with an error inside": Says(
        headers={"content-type": "application/json"}, steps=[b'{"error":{"message":"x"}}']
    ),
    "200 with HTML inside": Says(headers={"content-type": "text/html"}, steps=[b"<html>"]),
    "200 and silence": Says(steps=[STALL]),
    "200, a role, then silence": Says(steps=[event({"role": "assistant", "content": ""}), STALL]),
    "200, comments, then silence": Says(steps=[b": ping\n\n", Pause(5), b": ping\n\n", STALL]),
    "200, then an error event": Says(steps=[b'data: {"error":{"message":"x","code":500}}\n\n', DONE]),
    "200, a role, then cut": Says(steps=[event({"role": "assistant"}), RESET]),
    "200, then a clean but early end": Says(steps=[event({"role": "assistant"})]),
    "200, then only [DONE]": Says(steps=[DONE]),
    "200, then garbage": Says(steps=[b"data: nonsense\n\n"]),
    "status line never comes": Says(before=1e6),
}


@pytest.mark.fault("a8-head-only", "a10-slow-token", "b1-overload", "b10-inside", "c5-error-first")
@pytest.mark.parametrize("script", BEFORE_CONTENT.values(), ids=BEFORE_CONTENT.keys())
def test_whatever_fails_before_content_is_mended_in_silence(script):
    upstreams = ScriptedUpstreams(a=[script], b=[stream("fine")])
    failure, caller, at = one(table("a", "b"), upstreams)
    assert failure is None
    assert caller.text == "fine"
    assert caller.errors == []
    assert caller.body.endswith(DONE)
    assert caller.headers["x-fallthrough-upstream"] == "b"
    outcome = at.ledger.outcome
    assert outcome.result == "ok"
    assert outcome.attempts[-1].result == "ok"
    assert {attempt.upstream for attempt in outcome.attempts} == {"a", "b"}
    assert outcome.usage.total == 7, "only the answer is paid for"


WHOLE_BEFORE = {
    key: script
    for key, script in BEFORE_CONTENT.items()
    if isinstance(script, Signal) or script.status != 200 or "inside" in key or "never" in key
} | {
    "200 with half an answer": Says(
        headers={"content-type": "application/json"}, steps=[b'{"choices":[{"mes']
    ),
    "200 cut in the body": Says(headers={"content-type": "application/json"}, steps=[b'{"cho', RESET]),
    "200 without choices": Says(headers={"content-type": "application/json"}, steps=[b'{"choices":[]}']),
    "200 and nothing": Says(headers={"content-type": "application/json"}, steps=[]),
    "200 and silence": Says(headers={"content-type": "application/json"}, steps=[STALL]),
}


@pytest.mark.parametrize("script", WHOLE_BEFORE.values(), ids=WHOLE_BEFORE.keys())
def test_a_whole_answer_is_mended_the_same_way(script):
    upstreams = ScriptedUpstreams(a=[script], b=[whole("fine")])
    failure, caller, at = one(table("a", "b"), upstreams, call(stream=False))
    assert failure is None
    assert b"fine" in caller.body
    assert at.ledger.outcome.upstream == "b"


AFTER_CONTENT = {
    "cut": [RESET],
    "stall": [STALL],
    "clean but early end": [],
    "error event, then [DONE]": [b'data: {"error":{"message":"boom","code":500}}\n\n', DONE],
    "[DONE] without a finish": [DONE],
    "garbage": [b"data: {half\n\n"],
    "half an event": [event({"content": "lost"})[:20], RESET],
}


@pytest.mark.fault("c1-stall", "c3-no-done", "c4-error")
@pytest.mark.parametrize("steps", AFTER_CONTENT.values(), ids=AFTER_CONTENT.keys())
def test_a_break_after_content_is_told_in_band_and_never_as_done(steps):
    upstreams = ScriptedUpstreams(a=[stream("so ", "far", steps=steps)], b=[stream("never")])
    failure, caller, at = one(table("a", "b"), upstreams)
    assert failure is None
    assert caller.text == "so far"
    assert len(caller.errors) == 1
    assert set(caller.errors[0]) == {"message", "type", "param", "code"}
    assert b"[DONE]" not in caller.body
    assert caller.finished, "a clean end lets the SDK read the error"
    assert upstreams.asked == ["a"]
    outcome = at.ledger.outcome
    assert outcome.result == "broken"
    assert outcome.usage.source is Source.OBSERVED
    assert outcome.usage.output >= 2, "what was seen is charged"
    assert at.ledger.settled[0][0] == "commit"


@pytest.mark.fault("b7-caller")
def test_a_caller_fault_is_passed_on_without_asking_anybody_else():
    body = {
        "error": {
            "message": "bad temperature",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": None,
        }
    }
    upstreams = ScriptedUpstreams(a=[fails(400, body)], b=[stream("never")])
    failure, caller, at = one(table("a", "b"), upstreams)
    assert failure.told.status == 400
    assert failure.told.param == "temperature"
    assert caller.status is None
    assert upstreams.asked == ["a"]
    assert at.ledger.settled[0][0] == "release"


@pytest.mark.fault("b12-all")
def test_when_all_fail_one_error_names_each_attempt():
    upstreams = ScriptedUpstreams(a=[fails(500)], b=[REFUSED])
    failure, caller, at = one(table("a", "b"), upstreams)
    assert failure.told.status == 502
    assert "a/m" in failure.told.message
    assert "b/m" in failure.told.message
    assert caller.status is None
    assert at.ledger.outcome.nano_usd == 0


def test_all_timeouts_are_a_504():
    failure, _, _ = one(table("a", "b"), ScriptedUpstreams(a=[Says(steps=[STALL])], b=[Says(before=1e6)]))
    assert failure.told.status == 504


@pytest.mark.fault("b12-all")
def test_all_waits_are_told_with_the_soonest():
    upstreams = ScriptedUpstreams(a=[fails(429, retry_after="50")], b=[fails(429, retry_after="30")])
    failure, _, _ = one(table("a", "b"), upstreams)
    assert failure.told.status in {429, 503}
    assert 25 <= failure.told.retry_after_s <= 31


def test_an_unknown_model_is_a_404_that_reserves_nothing():
    async def story():
        at = desk(table("a"), ScriptedUpstreams(a=[stream("x")]))
        asked = call()
        failure = await told(at, RecordingCaller(), replace(asked, model="nope"))
        return failure, at

    failure, at = play(story())
    assert (failure.told.status, failure.told.code) == (404, "model_not_found")
    assert at.ledger.settled == []


def test_the_preferred_upstream_goes_first():
    upstreams = ScriptedUpstreams(a=[stream("a")], b=[stream("b")])
    _, caller, _ = one(table("a", "b"), upstreams, call(preferred="b"))
    assert caller.text == "b"


def test_an_idle_stream_that_keeps_talking_is_not_cut():
    slow = [event({"content": str(n)}) for n in range(20)]
    steps = [step for chunk in slow for step in (Pause(50), chunk)] + [event(finish="stop"), DONE]
    _, caller, _ = one(
        table("a", timeouts=Timeouts(idle_s=60, total_s=1e5)),
        ScriptedUpstreams(a=[stream("go", steps=steps)]),
    )
    assert caller.errors == []
    assert caller.body.endswith(DONE)


@pytest.mark.fault("c8-endless")
def test_the_total_time_bounds_a_stream_that_never_ends():
    endless = [step for _ in range(100) for step in (Pause(10), event({"content": "x"}))]
    upstreams = ScriptedUpstreams(a=[stream("go", steps=endless)])
    _, caller, at = one(table("a", timeouts=Timeouts(idle_s=60, total_s=100)), upstreams)
    assert len(caller.errors) == 1
    assert at.ledger.outcome.total_ms == 100_000


@pytest.mark.fault("c12-slow")
def test_a_slow_caller_is_not_the_upstreams_fault():
    words = [str(n) for n in range(10)]
    book = table("a", timeouts=Timeouts(idle_s=5, total_s=1e5))
    _, caller, at = one(book, ScriptedUpstreams(a=[stream(*words)]), slow_s=50.0)
    assert caller.errors == []
    assert at.ledger.outcome.result == "ok"


def test_the_callers_patience_bounds_all_attempts():
    upstreams = ScriptedUpstreams(a=[Says(before=1e6)], b=[Says(before=1e6)])
    failure, _, at = one(table("a", "b"), upstreams, call(patience_s=10.0))
    assert failure.told.status == 504
    assert at.ledger.outcome.total_ms <= 10_001


def test_patience_is_shared_so_that_a_silent_target_leaves_time_for_the_next():
    for members in ({"patience_s": 40.0}, {"silence_s": 40.0 / 0.95}):
        upstreams = ScriptedUpstreams(a=[Says(steps=[STALL])], b=[stream("fine")])
        failure, caller, at = one(table("a", "b", attempts=3), upstreams, call(**members))
        assert failure is None
        assert caller.text == "fine"
        assert upstreams.asked == ["a", "b"], "a silent upstream is not asked again"
        assert at.ledger.outcome.total_ms == 20_000
        assert at.snapshot.health.troubles(20.0) == {}


def test_the_silence_that_a_program_bears_does_not_bound_an_answer_that_has_begun():
    slow = [step for n in range(10) for step in (Pause(5), event({"content": str(n)}))]
    upstreams = ScriptedUpstreams(a=[stream("go", steps=[*slow, event(finish="stop"), DONE])])
    _, caller, _ = one(table("a"), upstreams, call(silence_s=10.0))
    assert caller.errors == []
    assert caller.text == "go0123456789"


@pytest.mark.fault("d12-storm")
def test_a_call_that_an_sdk_repeats_gets_one_try_at_each_target():
    upstreams = ScriptedUpstreams(a=[fails(503)], b=[fails(503)])
    one(table("a", "b", attempts=3), upstreams, call(retries=1))
    assert upstreams.asked == ["a", "b"]


HANG_UPS = {
    "before the status line": Says(before=1e6),
    "before content": Says(steps=[event({"role": "assistant"}), STALL]),
    "in the middle": stream("some ", "words", steps=[STALL]),
    "before the usage": stream("some ", "words", steps=[event(finish="stop"), STALL]),
}


@pytest.mark.parametrize("script", HANG_UPS.values(), ids=HANG_UPS.keys())
def test_a_caller_who_hangs_up_is_settled_and_blames_nobody(script):
    async def story():
        upstreams = ScriptedUpstreams(a=[script], b=[stream("never")])
        at = desk(table("a", "b", timeouts=Timeouts(first_token_s=1e7, idle_s=1e7, total_s=1e7)), upstreams)
        caller = RecordingCaller()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(told(at, caller, call()))
            await asyncio.sleep(1)
            caller.gone = True
            task.cancel()
        assert task.cancelled()
        return caller, at, upstreams

    caller, at, upstreams = play(story())
    assert upstreams.asked == ["a"], "nothing new is tried for nobody"
    assert upstreams.open == 0
    outcome = at.ledger.outcome
    assert (outcome.status, outcome.result) == (499, "caller_gone")
    assert outcome.attempts[-1].result == "caller_gone"
    assert at.snapshot.health.state("a", 1.0) == "closed"
    assert outcome.usage.input > 0, "leaving early is not free"
    assert (outcome.usage.output > 0) is bool(caller.text)
    assert at.ledger.settled[0][0] == "commit"


def test_a_drain_deadline_ends_a_stream_with_an_error_event_and_no_clean_end():
    async def story():
        at = desk(table("a"), ScriptedUpstreams(a=[stream("some", steps=[STALL])]))
        caller = RecordingCaller()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(told(at, caller, call()))
            await asyncio.sleep(1)
            task.cancel()
        return caller, at

    caller, at = play(story())
    assert caller.errors[0]["code"] == "shutdown"
    assert caller.aborted
    assert b"[DONE]" not in caller.body
    assert at.ledger.outcome.result == "shutdown"


def test_five_failures_open_the_breaker_and_the_next_call_goes_straight_on():
    async def story():
        upstreams = ScriptedUpstreams(a=[fails(500)], b=[stream("fine")])
        at = desk(table("a", "b", attempts=1), upstreams)
        for number in range(8):
            await answer(at, RecordingCaller(), call(number))
        return upstreams, at

    upstreams, at = play(story())
    assert upstreams.asked.count("a") == BreakerRules().failures
    assert upstreams.asked.count("b") == 8
    assert notes_of(at).breakers == [("a", "open")]


def test_after_the_open_time_one_probe_closes_the_breaker():
    async def story():
        upstreams = ScriptedUpstreams(a=[fails(500)] * 5 + [stream("back")], b=[stream("fine")])
        at = desk(table("a", "b", attempts=1), upstreams)
        for number in range(6):
            await answer(at, RecordingCaller(), call(number))
        await asyncio.sleep(120)
        caller = RecordingCaller()
        await answer(at, caller, call(99))
        return caller, at

    caller, at = play(story())
    assert caller.text == "back"
    assert notes_of(at).breakers[-1] == ("a", "closed")


def test_a_spent_upstream_is_skipped_and_the_caller_is_not_refused():
    limit = Limit(Unit.REQUESTS, 2, Every.DAY, upstream="a")

    async def story():
        upstreams = ScriptedUpstreams(a=[stream("a")], b=[stream("b")])
        at = desk(table("a", "b", limits=(limit,)), upstreams)
        said = []
        for number in range(4):
            caller = RecordingCaller()
            await answer(at, caller, call(number))
            said.append(caller.text)
        return said

    assert play(story()) == ["a", "a", "b", "b"]


def test_a_spent_tenant_is_refused_with_numbers_and_nothing_is_tried():
    limit = Limit(Unit.REQUESTS, 1, Every.DAY, per=Per.TENANT)

    async def story():
        upstreams = ScriptedUpstreams(a=[stream("a")])
        at = desk(table("a", limits=(limit,)), upstreams)
        await answer(at, RecordingCaller(), call(1))
        return await told(at, RecordingCaller(), call(2)), upstreams

    failure, upstreams = play(story())
    assert failure.told.status == 429
    assert "1" in failure.told.message
    assert upstreams.asked == ["a"]


def test_a_burst_against_a_limit_never_overshoots():
    limit = Limit(Unit.TOKENS, 50_000, Every.DAY, per=Per.TENANT)

    async def story():
        at = desk(table("a", limits=(limit,), max_output_tokens=100), ScriptedUpstreams(a=[stream("a")]))
        failures = await asyncio.gather(*(told(at, RecordingCaller(), call(n)) for n in range(400)))
        return at, failures

    at, failures = play(story())
    assert sum(at.ledger.used.values()) <= 50_000
    assert all(held == 0 for held in at.ledger.held.values())
    assert any(failures)
    assert not all(failures)


def test_a_cap_is_sent_only_where_a_limit_counts_tokens_and_the_caller_named_none():
    limited = table("a", limits=(Limit(Unit.TOKENS, 10**9, Every.DAY, per=Per.TENANT),), max_output_tokens=77)
    for book, expected in ((limited, b"77"), (table("a", max_output_tokens=77), None)):
        upstreams = ScriptedUpstreams(a=[stream("x")])
        one(book, upstreams)
        sent = upstreams.requests[0].body
        assert (b"max_completion_tokens" in sent) is (expected is not None)
        assert expected is None or expected in sent


def test_defaults_fill_in_where_the_caller_is_silent():
    for members, expected in (({}, b'"temperature":0.5'), ({"temperature": 1}, b'"temperature":1')):
        upstreams = ScriptedUpstreams(a=[stream("x")])
        one(table("a", defaults={"temperature": 0.5}), upstreams, call(**members))
        assert expected in upstreams.requests[0].body


def test_content_and_its_failure_in_one_piece_are_still_mended_in_silence():
    both = event({"content": "half"}) + b'data: {"error":{"message":"x"}}\n\n'
    upstreams = ScriptedUpstreams(a=[Says(steps=[both])], b=[stream("fine")])
    _, caller, _ = one(table("a", "b"), upstreams)
    assert caller.text == "fine"


def test_an_empty_but_finished_answer_is_an_answer():
    upstreams = ScriptedUpstreams(
        a=[Says(steps=[event({"role": "assistant"}), event(finish="stop"), usage_event(), DONE])]
    )
    failure, caller, _ = one(table("a"), upstreams)
    assert failure is None
    assert caller.body.endswith(DONE)


class BrokenCaller(RecordingCaller):
    """A defect of ours, in the middle of an answer."""

    def write(self, data: bytes):
        raise RuntimeError("a defect")


def test_a_defect_of_ours_still_settles_the_call_and_gives_the_ticket_back():
    async def story():
        at = desk(table("a"), ScriptedUpstreams(a=[stream("x")]))
        with pytest.raises(RuntimeError):
            await answer(at, BrokenCaller(), call())
        return at

    at = play(story())
    outcome = at.ledger.outcome
    assert (outcome.status, outcome.result) == (500, "internal_error")
    assert [attempt.result for attempt in outcome.attempts] == ["internal_error"]
    assert at.snapshot.health.outstanding == 0
