"""What observers are told of a call beyond what the ledger keeps: error, fallback, added time, pauses."""

from contextlib import suppress

import pytest
from msgspec.structs import replace

from proxy.audience import Audience
from proxy.errors import AllFailed, Broken, CallerFault, ErrorType, OurFault, Refused, Told, error_type
from proxy.holds import Alert
from proxy.pauses import BOUNDS_S
from proxy.ports import Observer
from proxy.relay import answer
from proxy.table import Every, Limit, Per, Unit
from tests.kit.scripted_ports import (
    DONE,
    REFUSED,
    RESET,
    Notes,
    Pause,
    RecordingCaller,
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


def told(book, asked=None, slow_s=0.0, **upstreams):
    """What is told of one call: (its outcome, its attempts)."""
    made, notes = desk(book, ScriptedUpstreams(**upstreams)), Notes()
    at = replace(made, audience=Audience.of(notes))

    async def one():
        with suppress(AllFailed, CallerFault, Refused):
            await answer(at, RecordingCaller(slow_s=slow_s), asked or call())

    play(one())
    (outcome,) = notes.outcomes
    return outcome, notes.attempts


def test_the_first_target_s_own_answer_is_no_fallback_and_adds_nothing_of_the_upstream_s_time():
    slow = stream("a")
    slow.before = 3.0
    outcome, _ = told(table("a", "b"), a=[slow], b=[])
    assert (outcome.error, outcome.fallback) == (None, False)
    assert outcome.first_ms == 3000
    assert outcome.added_s == 0


def test_another_s_answer_is_a_fallback_and_what_the_first_one_took_is_added():
    failed, slow = fails(500), stream("b")
    failed.before, slow.before = 2.0, 3.0
    outcome, _ = told(table("a", "b"), a=[failed, failed, failed], b=[slow])
    assert (outcome.error, outcome.fallback, outcome.upstream) == (None, True, "b")
    assert outcome.added_s == pytest.approx(outcome.first_ms / 1000 - 3.0)
    assert outcome.added_s >= 2.0


def test_each_attempt_says_when_in_its_call_it_began_said_its_first_word_and_ended():
    failed, slow = fails(500), stream("b")
    failed.before, slow.before = 2.0, 3.0
    _, attempts = told(table("a", "b"), a=[failed], b=[slow])
    assert [(each.started_ms, each.first_ms, each.ended_ms) for each in attempts] == [
        (0, None, 2000),
        (2000, 5000, 5000),
    ]


def test_a_first_target_that_is_closed_makes_the_answer_of_the_second_a_fallback():
    outcome, attempts = told(
        table("a", "b", limits=(Limit(Unit.TOKENS, 1, Every.DAY, upstream="a"),)), a=[], b=[stream("b")]
    )
    assert (outcome.fallback, [each.upstream for each in attempts]) == (True, ["b"])


def sorted_in(*pauses):
    """How pauses are counted by their bounds."""
    counts = [0] * (len(BOUNDS_S) + 1)
    for pause in pauses:
        counts[next((i for i, bound in enumerate(BOUNDS_S) if pause <= bound), -1)] += 1
    return tuple(counts)


def paused(slow_s=0.0):
    steps = [
        Pause(0.03),
        event({"content": "b"}),
        Pause(2.0),
        event({"content": "c"}),
        event(finish="stop"),
        DONE,
    ]
    _, (attempt,) = told(table("a"), a=[stream("a", steps=steps)], slow_s=slow_s)
    return attempt.pauses


def test_the_pauses_of_a_stream_are_counted_from_its_first_piece_on():
    pauses = paused()
    assert pauses.counts == sorted_in(0.03, 2.0, 0.0, 0.0)
    assert pauses.total_s == pytest.approx(2.03)


def test_the_time_of_a_slow_caller_is_no_pause():
    assert paused(slow_s=0.5).total_s == pytest.approx(2.03)


def test_an_answer_that_is_not_streamed_has_no_pauses():
    _, (attempt,) = told(table("a"), call(stream=False), a=[whole()])
    assert attempt.pauses is None


LIMITED = (Limit(Unit.TOKENS, 1, Every.DAY, Per.TENANT),)
INVALID = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}

LATER = {"error": {**INVALID["error"], "type": "requests", "code": "rate_limit_exceeded"}}


@pytest.mark.parametrize(
    ("limits", "script", "error"),
    [
        (LIMITED, [], ErrorType.LIMIT),
        ((), [fails(400, INVALID)], ErrorType.CALLER_FAULT),
        ((), [fails(429, LATER, retry_after="600")], ErrorType.UPSTREAM_RATE_LIMIT),
        ((), [REFUSED] * 3, ErrorType.UPSTREAM_ERROR),
        ((), [stream("a", steps=[RESET])], ErrorType.UPSTREAM_BROKEN),
    ],
)
def test_how_a_call_failed_is_one_of_few_words(limits, script, error):
    outcome, _ = told(table("a", limits=limits), a=script)
    assert outcome.error is error


@pytest.mark.parametrize(
    ("failure", "status", "error"),
    [
        (CallerFault, 404, ErrorType.CALLER_FAULT),
        (Refused, 401, ErrorType.POLICY),
        (Refused, 403, ErrorType.POLICY),
        (Refused, 409, ErrorType.POLICY),
        (Refused, 429, ErrorType.LIMIT),
        (Refused, 503, ErrorType.PROXY_UNAVAILABLE),
        (AllFailed, 429, ErrorType.UPSTREAM_RATE_LIMIT),
        (AllFailed, 502, ErrorType.UPSTREAM_ERROR),
        (AllFailed, 503, ErrorType.UPSTREAM_UNAVAILABLE),
        (AllFailed, 504, ErrorType.UPSTREAM_TIMEOUT),
        (Broken, 502, ErrorType.UPSTREAM_BROKEN),
        (OurFault, 500, ErrorType.INTERNAL),
    ],
)
def test_every_failure_has_its_word(failure, status, error):
    assert error_type(failure(Told(status, "no", "server_error"))) is error


class OfAlerts(Observer):
    """Listens to marks only."""

    def __init__(self):
        self.marks = []

    def alerted(self, alert):
        self.marks.append(alert.mark)


def test_nobody_is_told_what_it_does_not_listen_to():
    notes, of_alerts, deaf = Notes(), OfAlerts(), Observer()
    audience = Audience.of(of_alerts, notes, deaf)
    assert audience.settled == (notes.settled,)
    assert audience.attempted == (notes.attempted,)
    assert audience.reserved == (notes.reserved,)
    assert audience.breaker == (notes.breaker,)
    assert audience.alerted == (of_alerts.alerted, notes.alerted)


def test_whoever_inherits_an_ear_listens():
    class Louder(OfAlerts):
        """Another name."""

    both = OfAlerts(), Louder()
    Audience.of(*both).alert(Alert("tenant=acme/tokens/day", 0, 90, 91, 100, Unit.TOKENS))
    assert [one.marks for one in both] == [[90], [90]]
