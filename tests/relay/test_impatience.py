"""Calls that came to nothing: impatience is charged like a hang-up, an upstream's failure to nobody."""

import pytest

from proxy.call import Billed
from proxy.table import Every, Limit, Per, Timeouts, Unit
from tests.kit.scripted_ports import (
    REFUSED,
    RESET,
    STALL,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    fails,
    stream,
    table,
    whole,
)
from tests.kit.virtual import play
from tests.relay.test_leaving import left
from tests.relay.test_story import RecordingCaller, one, told

DAY = 1_767_225_600
ROLE = event({"role": "assistant", "content": ""})
SILENT = Says(before=1e6)
HESITANT = Says(steps=[ROLE, STALL])
LIMITS = (
    Limit(Unit.REQUESTS, 3, Every.DAY, per=Per.TENANT),
    Limit(Unit.TOKENS, 100_000, Every.DAY, per=Per.TENANT),
    Limit(Unit.TOKENS, 100_000, Every.DAY, upstream="a"),
    Limit(Unit.TOKENS, 100_000, Every.DAY, upstream="b"),
)
IMPATIENT = {"its deadline": {"patience_s": 10.0}, "its program's silence": {"silence_s": 10.0}}


def used(at):
    """What stands on the tenant's counters, requests first, and on those of the upstreams."""
    names = (
        "tenant=acme/requests/day",
        "tenant=acme/tokens/day",
        "upstream=a/tokens/day",
        "upstream=b/tokens/day",
    )
    assert not any(at.ledger.held.values())
    return [at.ledger.used.get((name, DAY), 0) for name in names]


def prompt():
    """What a call is charged whose caller hangs up before the first content."""
    _, at = left(ScriptedUpstreams(a=[HESITANT]))
    return at.ledger.outcome.usage.input


@pytest.mark.fault("c11-deadline")
@pytest.mark.parametrize("patience", IMPATIENT.values(), ids=IMPATIENT)
@pytest.mark.parametrize("says", [SILENT, HESITANT], ids=["before the head", "before the first content"])
@pytest.mark.parametrize("streamed", [True, False])
def test_who_says_beforehand_when_to_leave_is_charged_like_one_who_leaves(streamed, says, patience):
    asked = call(stream=streamed, **patience)
    failure, _, at = one(table("a", limits=LIMITS), ScriptedUpstreams(a=[says]), asked)
    assert failure.told.status == 504
    assert at.ledger.settled[0][0] == "commit"
    (attempt,) = at.ledger.outcome.attempts
    assert (attempt.billed, attempt.usage) == (Billed.UNKNOWN, at.ledger.outcome.usage)
    assert used(at) == [1, prompt(), prompt(), 0]
    assert at.ledger.outcome.nano_usd == prompt() * 1000


def test_a_limit_of_requests_holds_against_callers_who_wait_for_no_answer():
    async def story():
        at = desk(table("a", limits=LIMITS), ScriptedUpstreams(a=[SILENT]))
        failures = [await told(at, RecordingCaller(), call(number, patience_s=0.2)) for number in range(5)]
        return [failure.told.status for failure in failures]

    assert play(story()) == [504, 504, 504, 429, 429]


def test_of_several_that_were_asked_in_turn_the_last_is_charged():
    upstreams = ScriptedUpstreams(a=[SILENT], b=[SILENT])
    failure, _, at = one(table("a", "b", limits=LIMITS), upstreams, call(patience_s=10.0))
    assert failure.told.status == 504
    assert upstreams.asked == ["a", "b"]
    assert used(at) == [1, prompt(), 0, prompt()]
    assert [attempt.usage is None for attempt in at.ledger.outcome.attempts] == [True, False]


@pytest.mark.parametrize("trouble", [REFUSED, fails(503), fails(429), RESET], ids=str)
def test_a_failure_after_it_makes_nobody_s_impatience_free(trouble):
    upstreams = ScriptedUpstreams(a=[SILENT], b=[trouble])
    failure, _, at = one(table("a", "b", attempts=1, limits=LIMITS), upstreams, call(patience_s=10.0))
    assert failure is not None
    assert used(at) == [1, prompt(), prompt(), 0]


def test_two_that_were_asked_at_once_are_charged_both():
    upstreams = ScriptedUpstreams(a=[SILENT], b=[SILENT])
    book = table("a", "b", hedge_s=1.0, limits=LIMITS)
    _, _, at = one(book, upstreams, call(patience_s=4.0))
    outran = used(at)
    assert upstreams.asked == ["a", "b"]
    assert outran == [1, 2 * prompt(), prompt(), prompt()]


def test_who_was_answered_after_all_pays_for_that_alone():
    upstreams = ScriptedUpstreams(a=[SILENT], b=[stream("fine")])
    failure, _, at = one(table("a", "b", limits=LIMITS), upstreams, call(patience_s=40.0))
    assert failure is None
    assert used(at) == [1, at.ledger.outcome.usage.total, 0, 7]
    first, _ = at.ledger.outcome.attempts
    assert (first.result, first.billed, first.usage) == ("ambiguous", Billed.UNKNOWN, None)


THEIRS = {
    "a reset": Says(steps=[RESET]),
    "our own deadline": SILENT,
    "silence before content": HESITANT,
    "a success that holds nothing": Says(steps=[b"data: nonsense\n\n"]),
}


@pytest.mark.parametrize("patience", [{}, {"patience_s": 1e5}, {"silence_s": 1e5}], ids=str)
@pytest.mark.parametrize("says", THEIRS.values(), ids=THEIRS)
def test_what_an_upstream_spoilt_costs_the_caller_nothing_yet_may_have_been_spent(says, patience):
    book = table("a", limits=LIMITS, timeouts=Timeouts(first_token_s=5, total_s=20))
    failure, _, at = one(book, ScriptedUpstreams(a=[says]), call(**patience))
    assert failure.told.status in {502, 504}
    assert used(at) == [0, 0, 0, 0]
    assert at.ledger.settled[0][0] == "commit", "only what is released may be asked anew under its key"
    assert at.ledger.outcome.spent
    assert at.ledger.outcome.attempts[0].billed is Billed.UNKNOWN


@pytest.mark.parametrize("says", [fails(500), fails(429), fails(401), fails(400), REFUSED], ids=str)
def test_what_certainly_cost_nothing_is_released(says):
    _, _, at = one(table("a", limits=LIMITS), ScriptedUpstreams(a=[says]), call(patience_s=10.0))
    assert used(at) == [0, 0, 0, 0]
    assert at.ledger.settled[0][0] == "release"
    assert not at.ledger.outcome.spent


def test_an_answer_in_time_costs_what_it_always_did():
    _, _, at = one(
        table("a", limits=LIMITS), ScriptedUpstreams(a=[whole()]), call(stream=False, patience_s=10.0)
    )
    assert used(at) == [1, 7, 7, 0]
