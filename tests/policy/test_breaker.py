"""Dialogues with one breaker."""

import pytest

from proxy.policy.breaker import Breaker, State
from proxy.table import BreakerRules

RULES = BreakerRules(failures=3, open_s=60.0, open_max_s=300.0)


def opened(now=0.0, roll=0.0, rules=RULES):
    breaker = Breaker(rules)
    for _ in range(rules.failures):
        breaker.failure(breaker.enter(), now, roll)
    return breaker


def probe(breaker, now, *, last=False):
    assert breaker.closed_until(now, last=last) is None
    return breaker.enter()


def test_it_opens_after_so_many_failures_in_a_row_and_not_before():
    breaker = Breaker(RULES)
    for outcome in "ffsff":
        leave = breaker.enter()
        breaker.failure(leave, 0.0, 0.0) if outcome == "f" else breaker.success(leave, 0.0)
    assert repr(breaker) == "Breaker(closed failures=2/3 level=0 generation=0)"
    breaker.failure(breaker.enter(), 0.0, 0.0)
    assert repr(breaker) == "Breaker(open until=60 level=1 generation=1)"


def test_an_open_breaker_says_when_to_ask_again():
    breaker = opened(now=10.0)
    assert breaker.closed_until(10.0) == 70.0
    assert breaker.closed_until(69.9) == 70.0
    assert breaker.closed_until(70.0) is None


@pytest.mark.fault("d11-herd")
def test_a_thousand_callers_at_half_open_get_exactly_one_probe():
    breaker = opened()
    admitted = 0
    for _ in range(1000):
        if breaker.closed_until(60.0) is None:
            breaker.enter()
            admitted += 1
    assert admitted == 1
    assert breaker.state is State.HALF_OPEN
    assert breaker.closed_until(60.0) > 60.0


@pytest.mark.fault("b12-all")
def test_the_last_resort_opens_again_after_a_second_with_four_probes():
    breaker = opened()
    assert breaker.closed_until(0.9, last=True) == 1.0
    assert breaker.closed_until(0.9) == 60.0
    admitted = 0
    for _ in range(1000):
        if breaker.closed_until(1.0, last=True) is None:
            breaker.enter()
            admitted += 1
    assert admitted == 4


def test_a_probe_that_succeeds_closes():
    breaker = opened()
    breaker.success(probe(breaker, 60.0), 61.0)
    assert breaker.state is State.CLOSED
    assert breaker.closed_until(61.0) is None


def test_a_probe_that_fails_doubles_the_open_time_up_to_the_cap():
    breaker, now, times = opened(), 0.0, []
    for _ in range(5):
        until = breaker.closed_until(now)
        times.append(until - now)
        now = until
        breaker.failure(probe(breaker, now), now, 0.0)
    assert times == [60.0, 120.0, 240.0, 300.0, 300.0]


@pytest.mark.fault("d11-herd")
def test_a_caller_who_leaves_frees_the_probe_slot_and_decides_nothing():
    breaker = opened()
    leave = probe(breaker, 60.0)
    breaker.neutral(leave)
    breaker.neutral(leave)
    assert breaker.state is State.HALF_OPEN
    again = probe(breaker, 60.0)
    assert breaker.closed_until(60.0) is not None
    breaker.success(again, 60.0)
    assert breaker.state is State.CLOSED


def test_neutral_outcomes_neither_count_nor_forgive_failures():
    breaker = Breaker(RULES)
    for _ in range(2):
        breaker.failure(breaker.enter(), 0.0, 0.0)
    for _ in range(100):
        breaker.neutral(breaker.enter())
    breaker.failure(breaker.enter(), 0.0, 0.0)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_an_outcome_from_an_older_generation_is_ignored(outcome):
    breaker = Breaker(RULES)
    slow = breaker.enter()
    for _ in range(3):
        breaker.failure(breaker.enter(), 0.0, 0.0)
    held = probe(breaker, 60.0)
    before = repr(breaker)
    breaker.success(slow, 61.0) if outcome == "success" else breaker.failure(slow, 61.0, 0.0)
    assert repr(breaker) == before
    breaker.success(held, 62.0)
    assert breaker.state is State.CLOSED


@pytest.mark.fault("d11-herd")
def test_of_several_probes_the_first_outcome_decides():
    breaker = opened()
    first, second = (probe(breaker, 1.0, last=True) for _ in range(2))
    breaker.failure(first, 2.0, 0.0)
    breaker.success(second, 3.0)
    assert breaker.state is State.OPEN


@pytest.mark.fault("d11-flapping")
def test_an_upstream_that_flaps_is_probed_ever_less_often():
    breaker, now, times = opened(roll=0.7), 0.0, []
    for _ in range(6):
        until = breaker.closed_until(now)
        times.append(until - now)
        now = until
        breaker.success(probe(breaker, now), now)
        for _ in range(3):
            breaker.failure(breaker.enter(), now, 0.3)
    assert times == sorted(times)
    assert times[-1] == 300.0


def test_time_in_health_makes_it_forget():
    breaker = opened()
    breaker.failure(probe(breaker, 60.0), 60.0, 0.0)
    breaker.success(probe(breaker, 180.0), 180.0)
    breaker.success(breaker.enter(), 239.0)
    assert repr(breaker) == "Breaker(closed failures=0/3 level=2 generation=5)"
    breaker.success(breaker.enter(), 240.0)
    assert repr(breaker) == "Breaker(closed failures=0/3 level=1 generation=5)"
    breaker.success(breaker.enter(), 9999.0)
    assert repr(breaker) == "Breaker(closed failures=0/3 level=0 generation=5)"


@pytest.mark.parametrize(("roll", "until"), [(0.0, 60.0), (0.5, 66.0), (1.0, 72.0)])
def test_the_open_time_is_jittered_upwards(roll, until):
    assert opened(roll=roll).closed_until(0.0) == pytest.approx(until)


def let_in(breaker, now, callers):
    """How many of so many callers at once are let in after a recovery."""
    admitted = 0
    for _ in range(callers):
        if breaker.recovering_until(now) is None:
            breaker.knocked(now, let_in=True)
            admitted += 1
        else:
            breaker.knocked(now, let_in=False)
    return admitted


@pytest.mark.fault("d11-flapping")
def test_after_a_recovery_a_growing_share_is_let_in_and_then_all():
    breaker = opened()
    breaker.success(probe(breaker, 60.0), 60.0)
    shares = [let_in(breaker, 60.0 + second, 1000) for second in range(11)]
    assert shares == pytest.approx([*range(100, 1001, 100), 1000], abs=2)


def test_a_recovering_breaker_lets_the_first_in_and_says_when_to_ask_again():
    breaker = opened()
    breaker.success(probe(breaker, 60.0), 60.0)
    assert breaker.recovering_until(60.0) is None
    breaker.knocked(60.0, let_in=True)
    assert breaker.recovering_until(60.0) == 60.25
    assert breaker.recovering_until(69.0) is None


def test_a_breaker_that_never_opened_lets_everybody_in():
    assert let_in(Breaker(RULES), 0.0, 1000) == 1000


def test_a_relapse_while_recovering_opens_again_for_longer():
    breaker = opened()
    breaker.success(probe(breaker, 60.0), 60.0)
    for _ in range(3):
        breaker.failure(breaker.enter(), 61.0, 0.0)
    assert breaker.closed_until(61.0) == 181.0
    assert breaker.recovering_until(61.0) is None, "open is what it is, not recovering"


def test_it_is_calm_again_once_its_failures_and_openings_are_forgotten_and_all_may_go():
    breaker = Breaker(RULES)
    assert breaker.calm
    breaker.failure(breaker.enter(), 0.0, 0.0)
    assert not breaker.calm
    breaker.success(breaker.enter(), 0.0)
    assert breaker.calm
    quick = opened(rules=BreakerRules(failures=1, open_s=5.0))
    quick.success(probe(quick, 5.0), 5.0)
    assert not quick.calm, "an opening is not forgotten yet"
    quick.success(quick.enter(), 10.0)
    assert not quick.calm, "it is, but not all may go yet"
    quick.success(quick.enter(), 15.0)
    assert quick.calm
