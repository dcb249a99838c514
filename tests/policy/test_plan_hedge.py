"""Dialogues with the plan about a second target asked beside one that is late."""

import pytest

from proxy.call import Kind, Phase, Signal
from proxy.policy.health import Health
from proxy.policy.plan import (
    Answered,
    Broke,
    CalledOff,
    CallerGone,
    Failed,
    Rely,
    Restart,
    Skipped,
    Stop,
    Try,
)
from proxy.table import OnMidstream
from tests.kit.plans import OVERLOAD, RULES, SLOW, Dialogue, limited, opened

BAD_REQUEST = Failed(Signal(Kind.BAD_REQUEST, Phase.HEADERS, 400))


def late(names="abc", now=3.0, **members):
    """A call whose first target is late: the dialogue, and who is asked beside it."""
    talk = Dialogue(names, **members)
    assert isinstance(talk.plan.start(0.0), Try)
    second = talk.plan.hedge(now)
    return talk.plan, talk.health, second and (second.candidate.target.upstream, second.number)


def test_the_next_target_is_asked_and_the_first_content_decides():
    plan, health, second = late()
    assert second == ("b", 2)
    plan.began(4.0, 2)
    assert plan.on(CalledOff(), 4.0, 1) == Rely()
    assert health.outstanding == 1
    plan.on(Answered(), 5.0, 2)
    assert health.outstanding == 0
    assert health.troubles(5.0) == {}


def test_one_beside_the_first_is_enough_and_none_after_content():
    plan, _, _ = late()
    assert plan.hedge(4.0) is None
    talk = Dialogue()
    talk.start()
    talk.plan.began(1.0)
    assert talk.plan.hedge(3.0) is None


@pytest.mark.parametrize("event", [OVERLOAD, SLOW, limited(0.5), limited(30.0), Skipped("limit spent", None)])
@pytest.mark.parametrize("failing", [1, 2])
def test_while_one_is_left_it_is_relied_on(event, failing):
    plan, health, _ = late()
    assert plan.on(event, 5.0, failing) == Rely()
    plan.on(Answered(), 6.0, 3 - failing)
    assert health.outstanding == 0


def test_when_both_have_failed_the_next_is_tried():
    plan, _, _ = late()
    plan.on(OVERLOAD, 5.0, 2)
    step = plan.on(OVERLOAD, 6.0, 1)
    assert (step.candidate.target.upstream, step.number) == ("c", 3)


def test_a_fault_of_the_callers_stops_both():
    plan, health, _ = late()
    assert isinstance(plan.on(BAD_REQUEST, 5.0, 2), Stop)
    plan.on(CalledOff(), 5.0, 1)
    assert health.outstanding == 0


def test_a_caller_who_leaves_frees_both():
    plan, health, _ = late()
    assert health.outstanding == 2
    plan.on(CallerGone(), 5.0)
    assert health.outstanding == 0


def test_closed_targets_and_those_too_slow_for_what_is_left_are_passed_over():
    assert late(health=opened("b"))[2] == ("c", 2)
    assert late("ab", health=opened("b"), now=0.5)[2] is None
    health = Health(dict.fromkeys("abc", RULES))
    health.pace(Dialogue("b").plan.candidates[0].target, stream=True).took(50.0)
    assert late(health=health, deadline=30.0)[2] == ("c", 2)
    assert late(deadline=3.0)[2] is None


def test_it_is_paid_out_of_the_budget_of_second_tries():
    health = Health(dict.fromkeys("abc", RULES))
    asked = [late("ab", health=health)[2] for _ in range(5)]
    assert asked == [("b", 2)] * 3 + [None] * 2
    assert late("ac", health=health)[2] == ("c", 2)


@pytest.mark.parametrize(("attempts", "asked_again"), [(1, False), (2, True)])
def test_a_try_that_was_called_off_was_a_try(attempts, asked_again):
    plan, _, _ = late("ab", attempts=attempts, on_midstream=OnMidstream.RESTART)
    plan.began(4.0, 2)
    plan.on(CalledOff(), 4.0, 1)
    step = plan.on(Broke(Signal(Kind.TIMEOUT, Phase.CONTENT), mendable=True), 5.0, 2)
    assert isinstance(step, Restart) is asked_again
