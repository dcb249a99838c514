"""The budget of second tries at one upstream."""

import pytest

from proxy.policy.budget import RetryBudget


def allowed(budget, now):
    """How many second tries it gives at once."""
    given = 0
    while budget.allows(now):
        budget.tried(now, again=True)
        given += 1
    return given


@pytest.mark.parametrize(("calls", "tries"), [(0, 3), (10, 3), (15, 3), (20, 4), (100, 20), (1000, 200)])
def test_it_is_a_fifth_of_the_calls_and_three_in_any_case(calls, tries):
    budget = RetryBudget()
    for _ in range(calls):
        budget.tried(5.0, again=False)
    assert allowed(budget, 5.0) == tries
    assert not budget.allows(5.0)


def test_calls_and_retries_fade():
    budget = RetryBudget()
    for _ in range(100):
        budget.tried(0.0, again=False)
    assert allowed(budget, 0.0) == 20
    assert allowed(budget, 30.0) == 0, "half of the retries against half of the calls"
    assert allowed(budget, 30_000.0) == 3


def test_time_that_stands_still_or_goes_back_brings_nothing():
    budget = RetryBudget()
    allowed(budget, 10.0)
    assert allowed(budget, 10.0) == 0
    assert allowed(budget, 9.0) == 0


@pytest.mark.fault("d12-storm")
def test_an_outage_costs_no_more_than_a_fifth_beside_the_calls_themselves():
    budget, retries = RetryBudget(), 0
    for tick in range(60_000):
        now = tick / 100
        budget.tried(now, again=False)
        if budget.allows(now):
            budget.tried(now, again=True)
            retries += 1
    assert retries <= 0.21 * 60_000
