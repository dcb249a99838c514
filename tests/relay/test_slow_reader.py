"""A caller who reads slowly: it costs the caller's own answer at most, and no upstream its name."""

import pytest
from msgspec.structs import replace

from proxy.relay import answer
from proxy.table import BreakerRules, Timeouts
from tests.kit.scripted_ports import (
    DONE,
    STALL,
    Pause,
    RecordingCaller,
    ScriptedUpstreams,
    call,
    desk,
    event,
    stream,
    table,
)
from tests.kit.virtual import play

TIMES = Timeouts(first_token_s=60, idle_s=5, total_s=20)


def slowly(script, slow_s=9.0):
    """One answer, taken slowly; a first failure opens the breaker: (caller, outcome, state)."""
    book = table("a", timeouts=TIMES)
    strict = replace(book.upstreams["a"], breaker=BreakerRules(failures=1))
    at = desk(replace(book, upstreams={"a": strict}), ScriptedUpstreams(a=[script]))
    caller = RecordingCaller(slow_s=slow_s)
    play(answer(at, caller, call()))
    return caller, at.ledger.outcome, at.snapshot.health.state("a", 0.0)


def test_an_upstream_is_not_blamed_for_what_its_caller_took_too_long_to_read():
    words = [part for word in "bcdefghi" for part in (Pause(0.1), event({"content": word}))]
    caller, outcome, state = slowly(stream("a", steps=words))
    assert caller.errors[0]["code"] == "upstream_broken"
    assert "held_up" in caller.errors[0]["message"]
    assert outcome.result == "broken"
    assert state == "closed"


def test_the_time_of_a_slow_reader_is_no_time_of_the_upstreams():
    words = [part for word in "bcd" for part in (Pause(4), event({"content": word}))]
    ends = [event(finish="stop"), DONE]
    caller, outcome, _ = slowly(stream("a", steps=words + ends), slow_s=3.0)
    assert caller.body.endswith(DONE)
    assert (outcome.result, outcome.total_ms) == ("ok", 12_000 + 6 * 3_000)


@pytest.mark.parametrize(
    "steps",
    [
        [event({"content": "b"}), STALL],
        [Pause(4), event({"content": "b"}), Pause(4), event({"content": "c"})] * 3 + [STALL],
    ],
)
def test_what_the_upstream_itself_takes_too_long_for_is_its_own_fault(steps):
    _, outcome, state = slowly(stream("a", steps=steps), slow_s=0.5)
    assert outcome.attempts[0].result == "broken"
    assert state == "open"
