"""Dialogues with the plan: what happened goes in, what to do comes out."""

import pytest

from proxy.call import Kind, Phase, Signal
from proxy.errors import AllFailed, Broken, CallerFault, Told
from proxy.policy.health import Health
from proxy.policy.leave import Ticket
from proxy.policy.plan import Answered, Broke, CallerGone, Failed, Queue, Skipped, Woke
from proxy.table import BreakerRules
from tests.kit.plans import (
    BAD_KEY,
    NO_MONEY,
    OVERLOAD,
    REFUSED,
    RESET,
    RULES,
    SLOW,
    UNABLE,
    Dialogue,
    limited,
    opened,
)


def test_the_first_answer_ends_it():
    talk = Dialogue()
    assert talk.start() == "try a #1"
    assert talk.say(Answered(), 1.0) == "done"
    assert talk.health.outstanding == 0


@pytest.mark.parametrize("event", [OVERLOAD, REFUSED, SLOW, RESET, NO_MONEY, BAD_KEY, UNABLE, limited(20.0)])
def test_trouble_falls_through_in_order(event):
    talk = Dialogue(attempts=1)
    assert [talk.start(), talk.say(event), talk.say(event)] == ["try a #1", "try b #2", "try c #3"]
    assert talk.say(Answered()) == "done"


def test_a_callers_fault_stops_at_once_and_is_passed_through():
    told = Told(422, "Bad schema.", "invalid_request_error", "bad_schema", "tools", 9.0, True)
    talk = Dialogue()
    talk.start()
    assert talk.say(Failed(Signal(Kind.BAD_REQUEST, Phase.HEADERS, 422, told=told))) == "stop 422 bad_schema"
    assert isinstance(talk.failure, CallerFault)
    assert talk.told() == Told(422, "Bad schema.", "invalid_request_error", "bad_schema", "tools")


@pytest.mark.parametrize(
    ("status", "shown"), [(None, 400), (200, 400), (399, 400), (404, 404), (499, 499), (500, 400)]
)
def test_a_callers_fault_in_no_words_keeps_its_status_if_that_is_one_of_callers(status, shown):
    talk = Dialogue()
    talk.start()
    assert talk.say(Failed(Signal(Kind.BAD_REQUEST, Phase.HEADERS, status))) == f"stop {shown} None"
    assert talk.told() == Told(shown, "The upstream refused the request.", "invalid_request_error")


def test_filtered_is_the_callers_too():
    talk = Dialogue()
    talk.start()
    talk.say(OVERLOAD)
    assert talk.say(Failed(Signal(Kind.FILTERED, Phase.HEADERS, 400))) == "stop 400 None"


def test_a_very_short_retry_after_is_waited_for_in_place():
    talk = Dialogue()
    talk.start()
    assert talk.say(limited(0.5), 1.0) == "wait 1.5"
    assert talk.say(Woke(), 1.5) == "try a #2"
    assert talk.say(limited(0.5), 2.0) == "try b #3"


def test_a_longer_retry_after_goes_to_the_next_target():
    talk = Dialogue()
    talk.start()
    assert talk.say(limited(1.5)) == "try b #2"


def test_a_route_may_have_a_target_asked_again_before_the_next():
    talk = Dialogue(in_place_s=3.0)
    assert [talk.start(), talk.say(OVERLOAD, 1.0)] == ["try a #1", "wait 1.125"]
    assert talk.say(Woke(), 1.125) == "try a #2"
    assert talk.say(OVERLOAD, 2.0) == "try b #3"


def test_a_wait_that_a_target_asks_for_is_kept_in_place_as_long_as_its_route_says():
    talk = Dialogue(in_place_s=3.0)
    talk.start()
    assert talk.say(limited(2.0), 1.0) == "wait 3.1"
    assert talk.say(Woke(), 3.1) == "try a #2"
    longer = Dialogue(in_place_s=3.0)
    longer.start()
    assert longer.say(limited(3.0), 1.0) == "try b #2"


def test_nobody_is_waited_for_in_place_who_must_not_be_asked_again_or_not_in_time():
    for trouble in (SLOW, RESET, BAD_KEY):
        talk = Dialogue(in_place_s=3.0)
        assert [talk.start(), talk.say(trouble)] == ["try a #1", "try b #2"]
    for closed in (Dialogue(in_place_s=3.0, deadline=1.0), Dialogue(in_place_s=3.0, attempts=1)):
        assert [closed.start(), closed.say(limited(2.0))] == ["try a #1", "try b #2"]
    stumbling = Dialogue(in_place_s=3.0, health=opened())
    for _ in range(RULES.failures - 1):
        talk = Dialogue("a", attempts=1, health=stumbling.health)
        talk.start()
        talk.say(OVERLOAD)
    assert [stumbling.start(), stumbling.say(OVERLOAD)] == ["try a #1", "try b #2"], "it opened"


def test_the_last_candidate_left_is_tried_again_after_a_jittered_pause():
    talk = Dialogue("ab")
    assert [talk.start(), talk.say(OVERLOAD), talk.say(RESET)] == ["try a #1", "try b #2", "wait 0.125"]
    assert talk.say(Woke(), 0.125) == "try a #3"
    assert talk.say(OVERLOAD, 0.2) == "stop 502 upstream_error"


def test_untried_targets_go_before_a_second_try():
    talk = Dialogue("abc")
    talk.start()
    assert talk.say(OVERLOAD, 0.0) == "try b #2"
    assert talk.say(OVERLOAD, 50.0) == "try c #3"
    assert talk.say(OVERLOAD, 51.0) == "try a #4"


def test_closed_targets_are_skipped():
    talk = Dialogue(health=opened("a", "b"))
    assert talk.start() == "try c #1"


def test_the_last_resort_is_probed_a_second_after_it_opened():
    health = opened("a", "b", "c")
    assert Dialogue(health=health).start(0.5) == "stop 503 upstream_unavailable"
    talk = Dialogue(health=health)
    assert talk.start(1.0) == "try c #1"
    assert talk.health.changes() == (("c", "half_open"),)
    assert talk.say(Answered(), 2.0) == "done"
    assert talk.health.changes() == (("c", "closed"),)


def test_when_all_are_closed_the_call_waits_within_its_patience():
    talk = Dialogue(health=opened("a", "b", "c"), wait_max_s=2.0)
    assert talk.start(0.5) == "wait 1"
    assert talk.say(Woke(), 1.0) == "try c #1"


def test_waiting_is_bounded_in_all():
    health = opened("a", "b", "c")
    for _ in range(4):
        Dialogue(health=health).start(1.0)
    talk = Dialogue(health=health, wait_max_s=0.6)
    assert [talk.start(1.0), talk.say(Woke(), 1.25)] == ["wait 1.25", "wait 1.5"]
    assert talk.say(Woke(), 1.5) == "stop 503 upstream_unavailable"
    assert talk.failure.told.message == "All upstreams failed: a/m (open), b/m (open), c/m (open)."


def test_nothing_waits_past_the_deadline():
    talk = Dialogue(health=opened("a", "b", "c"), wait_max_s=60.0, deadline=0.9)
    assert talk.start(0.5) == "stop 503 upstream_unavailable"
    assert talk.told().retry_after_s == 1.0


def test_nothing_starts_at_the_deadline():
    talk = Dialogue(deadline=10.0)
    assert talk.start(9.0) == "try a #1"
    assert talk.say(RESET, 10.0) == "stop 504 upstream_timeout"
    assert talk.told().should_retry is False


def test_a_deadline_of_the_caller_blames_no_upstream():
    health = Health({"a": BreakerRules(failures=1)})
    talk = Dialogue("a", health=health, deadline=10.0)
    talk.start()
    talk.say(SLOW, 10.0)
    assert health.state("a", 10.0) == "closed"
    other = Dialogue("a", attempts=1, health=health, deadline=99.0)
    other.start(11.0)
    other.say(SLOW, 12.0)
    assert health.state("a", 12.0) == "open"


def test_a_skipped_target_is_nobodys_fault():
    talk = Dialogue("ab")
    talk.start()
    assert talk.say(Skipped("limit spent", None)) == "try b #2"
    assert talk.health.troubles(0.0) == {}
    assert talk.say(RESET) == "stop 502 upstream_error"
    assert talk.told().message == "All upstreams failed: a/m (limit spent), b/m (ambiguous)."


def test_when_every_target_is_over_its_limit_the_soonest_reset_is_told():
    talk = Dialogue("ab")
    talk.start()
    talk.say(Skipped("limit spent", 80.0), 0.0)
    assert talk.say(Skipped("limit spent", 40.0), 10.0) == "stop 503 upstream_unavailable"
    assert (talk.told().retry_after_s, talk.told().should_retry) == (30.0, True)


def test_a_break_after_content_ends_the_call_and_counts():
    talk = Dialogue()
    talk.start()
    talk.plan.began(1.0)
    assert talk.say(Broke(Signal(Kind.RESET, Phase.HEADERS)), 2.0) == "stop 502 upstream_broken"
    assert isinstance(talk.failure, Broken)
    assert talk.told().should_retry is False


def test_content_that_the_caller_never_saw_does_not_bind():
    talk = Dialogue()
    talk.start()
    assert talk.say(Failed(Signal(Kind.RESET, Phase.CONTENT))) == "try b #2"


def test_a_caller_who_leaves_in_an_attempt_frees_the_probe():
    health = opened("a")
    talk = Dialogue("ab", health=health)
    assert talk.start(60.0) == "try a #1"
    assert Dialogue("ab", health=health).start(60.0) == "try b #1"
    assert talk.say(CallerGone(), 61.0) == "done"
    assert Dialogue("ab", health=health).start(61.0) == "try a #1"


def test_a_caller_may_leave_at_any_time_and_more_than_once():
    talk = Dialogue()
    assert talk.say(CallerGone()) == "done"
    talk.start()
    assert [talk.say(CallerGone()), talk.say(CallerGone())] == ["done", "done"]
    assert talk.health.outstanding == 0


def test_an_attempt_ends_once():
    talk = Dialogue()
    talk.start()
    talk.say(Answered())
    with pytest.raises(RuntimeError):
        talk.say(Answered())
    with pytest.raises(RuntimeError):
        talk.say(OVERLOAD)


FULL = Failed(Signal(Kind.SATURATED, Phase.HEADERS, 503, 0.5))
ENDINGS = [
    # events at a and b (one attempt each), answer, Retry-After, x-should-retry
    ((limited(30.0), limited(20.0)), "stop 429 rate_limit_exceeded", 20.0, True),
    ((limited(30.0), NO_MONEY), "stop 503 upstream_unavailable", 30.0, True),
    ((NO_MONEY, NO_MONEY), "stop 503 upstream_unavailable", 300.0, False),
    ((BAD_KEY, BAD_KEY), "stop 502 upstream_error", None, False),
    ((BAD_KEY, limited(5.0)), "stop 502 upstream_error", None, False),
    ((SLOW, SLOW), "stop 504 upstream_timeout", None, False),
    ((SLOW, limited(5.0)), "stop 504 upstream_timeout", None, False),
    ((SLOW, RESET), "stop 502 upstream_error", None, False),
    ((REFUSED, OVERLOAD), "stop 502 upstream_error", None, False),
    ((FULL, limited(5.0)), "stop 503 upstream_unavailable", 1.0, True),
    ((FULL, REFUSED), "stop 502 upstream_error", None, False),
    ((UNABLE, limited(5.0)), "stop 429 rate_limit_exceeded", 5.0, True),
    ((UNABLE, SLOW), "stop 504 upstream_timeout", None, False),
    ((UNABLE, UNABLE), "stop 400 unsupported_parameter", None, None),
    (
        (Failed(Signal(Kind.OVERLOADED, Phase.HEADERS, 503, 7.0)), limited(9.0)),
        "stop 503 upstream_unavailable",
        7.0,
        True,
    ),
]


@pytest.mark.parametrize(("events", "answer", "retry_after", "should_retry"), ENDINGS)
def test_the_final_failure_follows_the_consequence(events, answer, retry_after, should_retry):
    talk = Dialogue("ab", attempts=1, roll=0.0)
    talk.start()
    assert [talk.say(event) for event in events] == ["try b #2", answer]
    assert talk.told().retry_after_s == retry_after
    assert talk.told().should_retry is should_retry
    if not answer.startswith("stop 400"):
        assert isinstance(talk.failure, AllFailed)


def test_a_wait_after_money_may_have_been_spent_is_not_advertised_for_retry():
    talk = Dialogue("a")
    talk.start()
    talk.say(limited(20.0))
    assert talk.told().should_retry is True
    spent = Dialogue("ab", health=opened("b"))
    spent.start()
    spent.say(Failed(Signal(Kind.BAD_ANSWER, Phase.HEADERS, 200)))
    assert spent.told().should_retry is False


def test_a_door_that_closed_meanwhile_is_what_the_caller_may_wait_for():
    health = Health(dict.fromkeys("abc", RULES))
    talk = Dialogue("a", health=health)
    assert [talk.start(), talk.say(OVERLOAD)] == ["try a #1", "wait 0.125"]
    for _ in range(4):
        other = Dialogue("a", attempts=1, health=health)
        other.start()
        other.say(OVERLOAD)
    assert talk.say(Woke(), 0.125) == "stop 503 upstream_unavailable"
    assert talk.told().message == "All upstreams failed: a/m (overload 503), a/m (open)."


def test_unable_everywhere_passes_on_what_the_dialect_told():
    told = Told(400, "No audio here.", "invalid_request_error", "unsupported_value", "modalities")
    talk = Dialogue("a")
    talk.start()
    assert talk.say(Failed(Signal(Kind.UNABLE, Phase.CONNECT, told=told))) == "stop 400 unsupported_value"


def test_the_message_names_each_attempt_and_each_closed_target_once():
    talk = Dialogue(attempts=1, health=opened("b"))
    talk.start()
    talk.say(OVERLOAD)
    talk.say(REFUSED)
    assert talk.told().message == "All upstreams failed: a/m (overload 503), b/m (open), c/m (unreachable)."
    assert talk.told().type == "server_error"


@pytest.mark.fault("b5-key")
def test_a_refused_key_is_a_502_for_later_calls_too():
    health = Health({"a": RULES})
    for _ in range(2):
        talk = Dialogue("a", health=health)
        if talk.start() == "try a #1":
            talk.say(BAD_KEY)
        assert (talk.told().status, talk.told().code) == (502, "upstream_error")


def test_five_failures_open_the_breaker_and_observers_hear_of_it_once():
    health = Health(dict.fromkeys("abc", RULES))
    heard = []
    for _ in range(6):
        talk = Dialogue("ab", attempts=1, health=health)
        talk.start()
        talk.say(OVERLOAD)
        heard += talk.health.changes()
        talk.say(CallerGone())
    assert heard == [("a", "open")]


def test_a_plan_without_candidates_stops():
    assert Dialogue("").start() == "stop 502 upstream_error"


def spend_retries(health, name, now=0.0):
    for _ in range(3):
        talk = Dialogue(name, health=health)
        talk.start(now)
        talk.say(limited(0.0), now)
        assert talk.say(Woke(), now).startswith("try")
        talk.say(CallerGone(), now)


def test_a_spent_budget_leaves_no_second_try_and_is_told():
    health = Health(dict.fromkeys("abc", RULES))
    spend_retries(health, "a")
    talk = Dialogue("a", health=health)
    assert [talk.start(), talk.say(OVERLOAD)] == ["try a #1", "stop 502 upstream_error"]
    assert talk.told().message == "All upstreams failed: a/m (overload 503), a/m (retry budget spent)."
    other = Dialogue("ab", health=health)
    assert [other.start(), other.say(OVERLOAD), other.say(OVERLOAD)] == ["try a #1", "try b #2", "wait 0.125"]
    assert other.say(Woke(), 0.125) == "try b #3", "each upstream has a budget of its own"


def test_a_budget_that_is_spent_while_a_call_waits_gives_no_second_try_either():
    health = Health(dict.fromkeys("abc", RULES))
    talk = Dialogue("a", health=health)
    assert [talk.start(), talk.say(OVERLOAD)] == ["try a #1", "wait 0.125"]
    spend_retries(health, "a")
    assert talk.say(Woke(), 0.125) == "stop 502 upstream_error"


def test_who_tries_again_himself_gets_no_second_tries_of_ours_but_every_target_once():
    talk = Dialogue("ab", repeated=True)
    assert [talk.start(), talk.say(OVERLOAD), talk.say(OVERLOAD)] == [
        "try a #1",
        "try b #2",
        "stop 502 upstream_error",
    ]


def test_repeated_calls_count_as_retries():
    health = Health(dict.fromkeys("abc", RULES))
    for _ in range(3):
        Dialogue("a", health=health, repeated=True).start()
    talk = Dialogue("a", health=health)
    assert [talk.start(), talk.say(OVERLOAD)] == ["try a #1", "stop 502 upstream_error"]


def test_who_gives_up_in_line_keeps_no_place_while_the_caller_is_told():
    health = Health({"a": RULES}, {"a": 1})
    talk = Dialogue("a", health=health, deadline=10.0)
    target = talk.plan.candidates[0].target
    busy = health.admit(target, 0.0, last=True)
    assert isinstance(talk.plan.start(0.0), Queue)
    assert talk.say(Woke(), 10.0) == "stop 504 upstream_timeout"
    health.left(busy)
    assert isinstance(health.admit(target, 10.0, last=True), Ticket)
