"""What tokens cost: kinds, tiers, rounding, and bounds that hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.usage import FREE, Price, Usage

DOLLAR = 1_000_000_000
LONG = Price(2_500_000_000, 15 * DOLLAR, 250_000_000)
TIERED = Price(1_250_000_000, 10 * DOLLAR, 125_000_000, above=((200_000, LONG),))


@pytest.mark.parametrize(
    ("usage", "nano_usd"),
    [
        (Usage(1_000_000, 0), 2_500_000_000),
        (Usage(200_000, 1_000), 250_000_000 + 10_000_000),
        (Usage(200_001, 1_000), 500_002_500 + 15_000_000),
        (Usage(200_001, 0, cached=200_001), 50_000_250),
        (Usage(100, 1_000_000), 125_000 + 10 * DOLLAR),
        (Usage(), 0),
    ],
)
def test_all_tokens_of_an_attempt_are_paid_in_the_tier_its_input_is_in(usage, nano_usd):
    assert TIERED.cost(usage) == nano_usd


@pytest.mark.parametrize(
    ("usage", "nano_usd"),
    [
        (Usage(10, 0, cached=4, cache_write=3), 3 * 3 + 4 * 1 + 3 * 4),
        (Usage(10, 5, cached=10), 10 + 25),
        (Usage(2, 0, cached=2, cache_write=2), 2 + 8),
    ],
)
def test_each_kind_of_input_has_its_price(usage, nano_usd):
    million = 1_000_000
    price = Price(3 * million, 5 * million, 1 * million, 4 * million)
    assert price.cost(usage) == nano_usd


def test_a_fraction_of_a_nano_dollar_is_rounded_up_once():
    assert Price(1, 1).cost(Usage(1, 1)) == 1
    assert Price(1, 1).worst(1, 1) == 1


def test_the_worst_looks_at_every_tier_that_can_be_reached():
    cheaper_when_long = Price(10 * DOLLAR, 10 * DOLLAR, above=((1_000, Price(DOLLAR, 50 * DOLLAR)),))
    assert cheaper_when_long.worst(1_000, 0) == 10_000_000
    assert cheaper_when_long.worst(2_000, 0) == 20_000_000
    assert cheaper_when_long.worst(2_000, 1_000) == 52_000_000


amounts = st.integers(0, 10**6)
rates = (amounts, amounts, st.none() | amounts, st.none() | amounts)
steps = st.dictionaries(st.integers(1, 50), st.builds(Price, *rates), max_size=3)
prices = st.builds(Price, *rates, steps.map(lambda found: tuple((at, found[at]) for at in sorted(found))))


@settings(deadline=None, derandomize=True)
@given(st.lists(prices, max_size=4), st.integers(0, 60), st.integers(0, 60), st.data())
def test_the_dearest_of_several_is_dearer_for_the_same_usage(found, inputs, outputs, data):
    cached = data.draw(st.integers(0, inputs))
    usage = Usage(inputs, outputs, cached, data.draw(st.integers(0, inputs - cached)))
    bound = Price.dearest(found)
    assert all(price.cost(usage) <= bound.cost(usage) for price in found)
    assert bound.cost(usage) <= bound.worst(inputs, outputs)


def test_the_dearest_of_none_is_free_and_of_one_is_that_one():
    assert Price.dearest([]) == FREE
    assert Price.dearest([TIERED]) is TIERED
