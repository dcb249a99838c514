"""Duties: run for as long as the process lives, started again when they fall."""

import asyncio
import logging

import pytest

from proxy.duties.refresh_keys import refresh_keys
from proxy.duties.supervisor import Duty, keep, supervised


class Clock:
    """Time that moves only by sleeping."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def mono(self):
        return self.now

    def wall_us(self):
        return round(self.now * 1e6)

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Falling:
    """A duty that falls so many times before it is done; each try takes so long."""

    def __init__(self, clock, falls, lasts_s=0.0):
        self.clock = clock
        self.falls = falls
        self.lasts_s = lasts_s
        self.runs = 0

    async def __call__(self):
        self.runs += 1
        self.clock.now += self.lasts_s
        if self.runs <= self.falls:
            raise ValueError("canary")


@pytest.mark.fault("d17-task")
async def test_a_duty_that_falls_is_told_and_started_again_after_growing_pauses(caplog):
    clock = Clock()
    duty = Falling(clock, falls=9)
    with caplog.at_level(logging.ERROR):
        await keep(Duty("probe", duty), clock, clock.sleep)
    assert duty.runs == 10
    assert clock.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert {record.duty for record in caplog.records} == {"probe"}
    assert len(caplog.records) == 9


async def test_a_duty_that_had_run_well_starts_again_soon():
    clock = Clock()
    duty = Falling(clock, falls=4, lasts_s=61.0)
    await keep(Duty("probe", duty), clock, clock.sleep)
    assert clock.slept == [1, 1, 1, 1]


async def test_one_duty_s_fall_does_not_touch_another_or_the_house():
    clock = Clock()
    steady = asyncio.Event()
    falling = Falling(clock, falls=3)
    done = asyncio.Event()

    async def last():
        await falling()
        done.set()

    async with supervised([Duty("falls", last), Duty("stands", steady.wait)], clock=clock, sleep=clock.sleep):
        await done.wait()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert "duty stands" in names
    assert not any(task.get_name().startswith("duty") for task in asyncio.all_tasks())


async def test_duties_end_with_the_house_even_if_it_fails():
    clock, ended = Clock(), asyncio.Event()

    async def run():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    with pytest.raises(ExceptionGroup):
        async with supervised([Duty("waits", run)], clock=clock, sleep=clock.sleep):
            await asyncio.sleep(0)
            raise RuntimeError
    assert ended.is_set()


async def test_keys_are_refreshed_twice_a_second():
    clock = Clock()

    class Keys:
        times = ()

        async def refresh(self):
            self.times = (*self.times, clock.now)
            if len(self.times) == 4:
                raise asyncio.CancelledError

    keys = Keys()
    with pytest.raises(asyncio.CancelledError):
        await refresh_keys(keys, clock.sleep)
    assert keys.times == (0, 0.5, 1, 1.5)
