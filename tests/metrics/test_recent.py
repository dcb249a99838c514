"""What was just now: counted by the minute, bounded, and the same whether one process saw it or three."""

import sys
import tracemalloc

import orjson
import pytest
from msgspec import json

from proxy.call import Attempt, Billed, Identity, Outcome
from proxy.policy.classify import Class
from proxy.recent import CALLS, EDGES_MS, FAULTS, MINUTES, SPAN, Minute, Reach, Recent, Seen, percentile
from proxy.usage import Source, Usage
from tests.house.cost import Tally

START_US = 1_800_000_000_000_000


class Wall:
    """Wall time that a test moves, in seconds."""

    def __init__(self):
        self.us = START_US

    def __call__(self):
        return self.us

    def go(self, seconds):
        self.us += round(seconds * 1_000_000)


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def recent(wall):
    return Recent(wall)


def attempt(upstream="a", result="ok", *, started_ms=0, first_ms=100, ended_ms=400):
    return Attempt(
        upstream, "m", result, 200, "content", started_ms, first_ms, ended_ms, Billed.YES, None, "slow"
    )


def outcome(*attempts, result="ok", upstream="a", stream=True, total_ms=400, call_id="req_1", fallback=False):
    return Outcome(
        call_id=call_id,
        identity=Identity("acme", "key_1", "p_canary"),
        model="chat",
        stream=stream,
        status=200,
        result=result,
        upstream=upstream,
        upstream_model="m" if upstream else None,
        usage=Usage(100, 20, source=Source.REPORTED),
        nano_usd=2_500_000,
        attempts=attempts or (attempt(),),
        started_us=START_US,
        first_ms=100,
        total_ms=total_ms,
        fallback=fallback,
    )


def told(recent, *attempts, **how):
    for each in attempts or (attempt(),):
        recent.attempted(each)
    recent.settled(outcome(*attempts, **how))


def test_a_minute_counts_calls_answers_fallbacks_tokens_and_money(recent, wall):
    told(recent)
    told(recent, attempt(result="overload", first_ms=None), attempt("b"), upstream="b", fallback=True)
    told(recent, attempt(result="overload", first_ms=None), result="upstream_error", upstream=None)
    wall.go(60)
    told(recent)
    first, second = recent.seen().minutes
    assert first == Minute(START_US // 1_000_000, 3, 2, 1, 300, 60, 7_500_000)
    assert (second.at_s, second.calls, second.fallbacks) == (first.at_s + 60, 1, 0)


def test_an_hour_is_remembered_and_no_more(recent, wall):
    for _ in range(3 * MINUTES):
        told(recent)
        wall.go(60)
    seen = recent.seen()
    assert len(seen.minutes) == MINUTES - 1, "the minute that runs has no call yet"
    wall.go(60 * (MINUTES - 2))
    assert len(recent.seen().minutes) == 1
    wall.go(60)
    assert recent.seen().minutes == ()


def test_an_upstream_is_judged_by_its_last_minutes(recent, wall):
    told(recent, attempt(result="overload"))
    wall.go(60 * (SPAN - 1))
    told(recent)
    assert (recent.seen().upstreams["a"].attempts, recent.seen().upstreams["a"].failed) == (2, 1)
    wall.go(60)
    assert (recent.seen().upstreams["a"].attempts, recent.seen().upstreams["a"].failed) == (1, 0)
    wall.go(3600)
    assert recent.seen().upstreams == {}


@pytest.mark.parametrize("result", ["caller_gone", "shutdown", "outrun", "caller", "too_long", "unable"])
def test_what_says_nothing_of_an_upstream_is_not_counted_against_it(recent, result):
    told(recent, attempt(result=result, first_ms=None), result=result)
    assert recent.seen().upstreams == {}


def test_the_faults_are_classes_of_trouble_and_all_others_are_nobody_s():
    assert set(Class) >= FAULTS
    nobodys = {Class.TOO_LONG, Class.CALLER, Class.STRAYED, Class.UNABLE, Class.OFF_SCHEMA}
    assert set(Class) - FAULTS == nobodys


def test_latency_is_of_the_attempt_and_not_of_the_call(recent):
    told(recent, attempt(started_ms=5000, first_ms=5100, ended_ms=5400), total_ms=5400)
    reach = recent.seen().upstreams["a"]
    assert percentile(reach.first, 0.5) == pytest.approx(100, rel=0.25)
    assert percentile(reach.whole, 0.5) == pytest.approx(400, rel=0.25)


def test_an_answer_that_is_not_streamed_has_no_first_token(recent):
    told(recent, stream=False)
    assert percentile(recent.seen().upstreams["a"].first, 0.5) is None


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_percentiles_are_as_near_as_a_bucket_is_wide(share):
    counts = Reach().whole
    times = [7 * n % 3000 + 1 for n in range(3000)]
    for took_ms in times:
        counts[next(i for i, edge in enumerate((*EDGES_MS, 10**9)) if took_ms <= edge)] += 1
    exact = sorted(times)[int(share * len(times)) - 1]
    assert percentile(counts, share) == pytest.approx(exact, rel=0.13)


def test_what_is_beyond_all_edges_is_told_as_the_last_of_them():
    reach = Reach()
    reach.whole[-1] = 3
    assert percentile(reach.whole, 0.95) == EDGES_MS[-1]


def test_the_last_calls_come_newest_first_and_hold_no_person(recent):
    for number in range(2 * CALLS):
        told(recent, call_id=f"req_{number}")
    calls = recent.seen().calls
    assert [call["id"] for call in calls] == [f"req_{n}" for n in range(2 * CALLS - 1, CALLS - 1, -1)]
    assert calls[0]["attempts"][0]["upstream"] == "a"
    assert b"p_canary" not in orjson.dumps(calls)


def test_what_several_processes_saw_adds_up(wall):
    one, other = Recent(wall), Recent(wall)
    told(one, call_id="req_1")
    told(other, call_id="req_2", total_ms=900)
    told(other, attempt("b", "overload"), result="upstream_error", upstream=None, call_id="req_3")
    sent = json.encode(other.seen())
    seen = Seen.together((one.seen(), json.decode(sent, type=Seen)))
    (minute,) = seen.minutes
    assert (minute.calls, minute.ok, minute.nano_usd) == (3, 2, 7_500_000)
    a, b = seen.upstreams["a"], seen.upstreams["b"]
    assert (a.attempts, sum(a.whole), b.failed) == (2, 2, 1)
    assert [call["id"] for call in seen.calls] == ["req_2", "req_1", "req_3"]


def test_a_clock_that_is_set_back_begins_no_new_minute(recent, wall):
    told(recent)
    wall.go(-7200)
    told(recent)
    assert [minute.calls for minute in recent.seen().minutes] == [2]


def test_it_does_not_grow_with_the_number_of_calls(recent, wall):
    def busy(calls):
        for number in range(calls):
            told(recent, call_id=f"req_{number}")
            wall.go(1)

    busy(5000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        busy(5000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200_000, "bytes: what was made before the tracing began is replaced, nothing is added"


def test_a_call_costs_a_handful_of_python_calls(recent):
    """It stands on the way of every call; the budget is counted, for seconds are not the same twice."""
    given = (attempt(result="overload", first_ms=None), attempt("b"))
    ended = outcome(*given, upstream="b")
    told(recent, *given, upstream="b")
    tally = Tally()
    sys.setprofile(tally)
    try:
        for each in given:
            recent.attempted(each)
        recent.settled(ended)
    finally:
        sys.setprofile(None)
    assert tally.calls <= 6, "three of them are ours to be told, one is a look for an upstream each"
