"""When a late loop turns callers away, and when it takes them again: looks go in, changes come out."""

import pytest

from proxy.policy.lag import Lag

MOST_S = 0.5


def looked(lag, *looks):
    """The moments at which it changed its mind, of looks as (moment, how late)."""
    return [now for now, late_s in looks if lag.looked(late_s, now)]


def steady(late_s, first, last):
    """A look every eighth of a second from `first` to `last`, each of them as late."""
    return [(first + number / 8, late_s) for number in range(round((last - first) * 8) + 1)]


@pytest.mark.parametrize(
    ("looks", "changes"),
    [
        (steady(0.49, 0, 60), []),
        (steady(0.5, 0, 0.875), []),
        (steady(0.5, 0, 5), [1.0]),
        # one long step, or a machine that slept: whatever came meanwhile is done by the next look
        ([(0.0, 0.0), (30.0, 29.9), (30.125, 0.0), (30.25, 0.0)], []),
        # steps so long that there is hardly a look between them
        ([(0.0, 0.0), (3.0, 2.9), (6.0, 2.9)], [6.0]),
        # a burst that is over at one look is over
        ([*steady(0.9, 0, 0.875), (1.0, 0.4), *steady(0.9, 1.125, 2.0)], []),
        # better is not good: it goes on until it is less than half as late as it may be
        ([*steady(0.9, 0, 1), *steady(0.3, 1.125, 60)], [1.0]),
        ([*steady(0.9, 0, 1), *steady(0.25, 1.125, 60)], [1.0]),
        ([*steady(0.9, 0, 1), *steady(0.24, 1.125, 3)], [1.0, 2.125]),
        ([*steady(0.9, 0, 1), *steady(0.1, 1.125, 2), (2.125, 0.3), *steady(0.1, 2.25, 4)], [1.0, 3.25]),
        ([*steady(0.9, 0, 1), *steady(0.0, 1.125, 3), *steady(0.9, 3.125, 5)], [1.0, 2.125, 4.125]),
    ],
)
def test_callers_are_turned_away_by_what_stands_and_taken_again_by_what_lasts(looks, changes):
    lag = Lag(MOST_S)
    assert looked(lag, *looks) == changes
    assert lag.shedding is (len(changes) % 2 == 1)


def test_a_loop_that_may_be_as_late_as_it_likes_turns_nobody_away():
    lag = Lag(None)
    assert looked(lag, *steady(10.0, 0, 100)) == []
    assert lag.now_s == 10.0, "and is looked at all the same"
