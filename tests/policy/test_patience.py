"""How a caller's patience is read, shared out, and not spent on what cannot be done in time."""

from math import inf

import pytest

from proxy.call import Kind, Phase, Signal
from proxy.policy.health import Health
from proxy.policy.patience import Pace, PlanRules
from proxy.policy.plan import Answered, Broke, Failed, Plan, Stop, Woke
from proxy.table import BreakerRules, OnMidstream, Route
from tests.kit.plans import OVERLOAD, RULES, FixedDice, candidates
from tests.kit.scripted_ports import call

SLOW = Failed(Signal(Kind.TIMEOUT, Phase.HEADERS, 200))


def plan_of(names="abc", health=None, **rules):
    known = {"attempts": 2, "deadline": None, "wait_max_s": 0.0} | rules
    return Plan(
        candidates(names, going_on=names),
        health or Health(dict.fromkeys("abc", RULES)),
        PlanRules(**known),
        FixedDice(),
    )


def told(step):
    return step.failure.told if isinstance(step, Stop) else (step.candidate.target.upstream, step.until)


@pytest.mark.parametrize(
    ("patience", "silence", "first_word", "deadline"),
    [
        (None, None, inf, None),
        (30.0, None, 130.0, 130.0),
        (None, 100.0, 195.0, None),
        (30.0, 100.0, 130.0, 130.0),
        (120.0, 100.0, 195.0, 220.0),
    ],
)
def test_silence_ends_with_the_first_word_and_patience_with_the_last(patience, silence, first_word, deadline):
    rules = PlanRules.of(call(patience_s=patience, silence_s=silence), Route("m", ()), 100.0)
    assert (rules.first_word(), rules.deadline) == (first_word, deadline)


def test_each_target_gets_half_of_what_is_left_and_the_last_one_all():
    plan = plan_of(deadline=80.0)
    assert told(plan.start(0.0)) == ("a", 40.0)
    assert told(plan.on(SLOW, 40.0)) == ("b", 60.0)
    assert told(plan.on(SLOW, 60.0)) == ("c", 80.0)
    assert told(plan.on(SLOW, 80.0)).code == "upstream_timeout"


def test_without_patience_told_nothing_is_shared():
    assert told(plan_of().start(0.0)) == ("a", None)


def test_what_is_left_early_is_the_next_ones():
    plan = plan_of(deadline=80.0)
    plan.start(0.0)
    assert told(plan.on(OVERLOAD, 2.0)) == ("b", 41.0)


def test_who_usually_takes_longer_than_its_half_gets_twice_its_time():
    health = Health(dict.fromkeys("abc", RULES))
    health.pace(candidates("a")[0].target, stream=True).took(30.0)
    assert told(plan_of(health=health, deadline=80.0).start(0.0)) == ("a", 60.0)
    assert told(plan_of(health=health, deadline=50.0).start(0.0)) == ("a", 50.0)


def test_who_was_never_so_quick_is_not_asked():
    health = Health(dict.fromkeys("abc", RULES))
    for name in "ab":
        health.pace(candidates(name)[0].target, stream=True).took(5.0)
    assert told(plan_of(health=health, deadline=4.0).start(0.0)) == ("c", 4.0)
    alone = told(plan_of("ab", health=health, deadline=4.0).start(0.0))
    assert (alone.status, alone.code) == (504, "upstream_timeout")
    assert alone.message == "All upstreams failed: a/m (too little time left), b/m (too little time left)."
    assert told(plan_of("a", health=health, deadline=4.0, stream=False).start(0.0)) == ("a", 4.0), (
        "another pace"
    )


def test_a_pace_is_learned_from_first_words_and_bad_times_are_forgotten():
    health = Health(dict.fromkeys("abc", RULES))
    target = candidates("a")[0].target
    for took in (8.0, 2.0):
        plan = plan_of("a", health=health)
        plan.start(100.0)
        plan.began(100.0 + took)
        plan.on(Answered(), 200.0)
    pace = health.pace(target, stream=True)
    assert (pace.least, pace.usual) == (2.0, pytest.approx(6.8))
    pace.took(9.0)
    assert pace.least == pytest.approx(2.2), "by a tenth with each that takes longer"
    for _ in range(20):
        pace.took(9.0)
    assert pace.least == 9.0
    new = Health({"a": RULES})
    new.adopt(health)
    assert new.pace(target, stream=True) is pace


def test_an_attempt_cut_short_by_its_share_blames_nobody_but_one_too_slow_by_itself_is_to_blame():
    health = Health(dict.fromkeys("ab", BreakerRules(failures=1)))
    impatient = plan_of("ab", health=health, deadline=10.0)
    impatient.start(0.0)
    impatient.on(SLOW, 5.0)
    assert health.state("a", 5.0) == "closed"
    patient = plan_of("ab", health=health, deadline=1000.0)
    patient.start(10.0)
    patient.on(SLOW, 70.0)
    assert health.state("a", 70.0) == "open"


def test_a_stall_after_the_share_is_over_is_the_upstreams_own():
    health = Health(dict.fromkeys("ab", BreakerRules(failures=1)))
    plan = plan_of("ab", health=health, silence=10.0)
    plan.start(0.0)
    plan.began(1.0)
    plan.on(Broke(Signal(Kind.TIMEOUT, Phase.CONTENT)), 70.0)
    assert health.state("a", 70.0) == "open"


def test_silence_bounds_no_mending():
    plan = plan_of(silence=10.0, on_midstream=OnMidstream.CONTINUE)
    assert told(plan.start(0.0)) == ("a", 5.0)
    plan.began(1.0)
    assert told(plan.on(Broke(Signal(Kind.RESET, Phase.CONTENT), mendable=True), 50.0)) == ("b", None)


def test_a_silent_upstream_is_not_asked_again_though_tries_are_left():
    plan = plan_of("a", attempts=5)
    plan.start(0.0)
    assert told(plan.on(SLOW, 60.0)).code == "upstream_timeout"


def test_nothing_is_waited_for_beyond_the_callers_silence():
    health = Health(dict.fromkeys("abc", RULES))
    plan = plan_of("a", health=health, silence=0.1)
    plan.start(0.0)
    assert told(plan.on(OVERLOAD, 0.05)).status == 502
    assert told(plan_of("a", health=health, silence=0.0).on(Woke(), 1.0)).code == "upstream_timeout"


def test_a_pace_nobody_knows_keeps_nobody_from_being_asked():
    assert Pace().least == 0.0
    assert Pace().share(10.0, others=True) == 5.0


def test_a_place_is_of_no_use_when_less_is_left_than_an_answer_may_take():
    pace = Pace()
    assert pace.latest(10.0) == 10.0, "nothing is known"
    pace.took(2.0)
    assert pace.latest(10.0) == 6.0
