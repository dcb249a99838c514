"""How late the loop is: looked at ten times a second, told when callers begin to be turned away and after."""

import asyncio
import logging

import pytest

from proxy.duties.lag import EVERY_S, watch_lag
from proxy.policy.lag import Lag
from tests.duties.test_supervisor import Clock


class Slow(Clock):
    """A loop that wakes whoever sleeps so much too late, sleep by sleep, and then stops."""

    def __init__(self, late):
        super().__init__()
        self.late = list(late)
        self.seen = []

    async def sleep(self, seconds):
        if not self.late:
            raise asyncio.CancelledError
        await super().sleep(seconds)
        self.now += self.late.pop(0)


async def watched(late, most_s=0.5):
    clock, lag = Slow(late), Lag(most_s)
    with pytest.raises(asyncio.CancelledError):
        await watch_lag(lag, clock, clock.sleep)
    assert set(clock.slept) == {EVERY_S}
    return lag


async def test_the_beginning_and_the_end_of_turning_away_are_a_line_each(caplog):
    with caplog.at_level(logging.INFO):
        lag = await watched([0.6] * 8 + [0.0] * 30)
    told = [(record.levelname, record.lag_s) for record in caplog.records]
    assert told == [("WARNING", 0.6), ("INFO", 0.0)]
    assert not lag.shedding


async def test_while_it_is_late_the_gate_is_told_so():
    lag = await watched([0.6] * 8)
    assert lag.shedding
    assert lag.now_s == pytest.approx(0.6)


async def test_a_loop_in_time_says_nothing(caplog):
    with caplog.at_level(logging.INFO):
        lag = await watched([0.01] * 100)
    assert not lag.shedding
    assert not caplog.records


async def test_a_clock_that_wakes_early_is_not_late():
    lag = await watched([-0.001] * 20)
    assert lag.now_s == 0.0
