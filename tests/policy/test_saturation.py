"""When an upstream has too many waiting: readings go in, what it may be asked comes out."""

import pytest

from proxy.call import Load
from proxy.policy.saturation import Saturation
from proxy.table import LoadRules

RULES = LoadRules(every_s=2.0, waiting=16)


def told(rules=RULES, /, **readings):
    """Someone who told of so many waiting at these moments: `t0=3, t2=17`."""
    saturation = Saturation(rules)
    for moment, waiting in readings.items():
        saturation.heard(Load(8, waiting, 1.0), float(moment[1:]))
    return saturation


@pytest.mark.parametrize(
    ("readings", "now", "until"),
    [
        ({}, 0.0, None),
        ({"t0": 0}, 0.0, None),
        ({"t0": 15}, 0.0, None),
        ({"t0": 16}, 0.0, 2.0),
        ({"t0": 16}, 1.9, 2.15),
        # the next reading is late, but this one is not old
        ({"t0": 16}, 5.9, 6.15),
        ({"t0": 16}, 6.0, None),
        # it is well again when half of the mark is left, not before
        ({"t0": 16, "t2": 9}, 2.0, 4.0),
        ({"t0": 16, "t2": 8}, 2.0, None),
        ({"t0": 15, "t2": 9}, 2.0, None),
        ({"t0": 16, "t2": 8, "t4": 15}, 4.0, None),
        ({"t0": 16, "t2": 9, "t4": 9}, 4.0, 6.0),
        # what was so long ago that nobody knows is not held against it
        ({"t0": 16, "t60": 9}, 60.0, None),
        ({"t0": 16, "t60": 16}, 60.0, 62.0),
    ],
)
def test_it_is_left_alone_while_too_many_wait_as_far_as_anybody_knows(readings, now, until):
    assert told(**readings).until(now) == until


@pytest.mark.parametrize(("waiting", "until"), [(1, 2.0), (0, None)])
def test_a_mark_of_one_is_left_only_when_nobody_waits(waiting, until):
    assert told(LoadRules(2.0, 1), t0=waiting).until(0.0) == until
    assert told(LoadRules(2.0, 1), t0=1, t1=waiting).until(1.0) == (None if until is None else 3.0)


@pytest.mark.parametrize(("every_s", "old"), [(0.25, 3.0), (1.0, 3.0), (10.0, 30.0)])
def test_a_reading_is_old_after_three_that_did_not_come(every_s, old):
    one = told(LoadRules(every_s, 16), t0=16)
    assert one.load(old - 0.001) == Load(8, 16, 1.0)
    assert one.until(old - 0.001) is not None
    assert one.load(old) is None
    assert one.until(old) is None


def test_many_that_run_or_a_full_cache_are_no_saturation():
    one = Saturation(RULES)
    one.heard(Load(1000, 0, 1.0), 0.0)
    assert one.until(0.0) is None


def test_a_new_mark_counts_from_the_next_reading():
    one = told(t0=10)
    one.rules = LoadRules(2.0, 5)
    assert one.until(0.0) is None
    one.heard(Load(8, 10, 1.0), 2.0)
    assert one.until(2.0) == 4.0
