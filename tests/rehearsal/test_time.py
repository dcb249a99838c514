"""A loop whose time is free, and chance from a seed."""

import asyncio

import pytest

from proxy.rehearsal.time import BEGINS_US, Deadlock, FreeClock, FreeLoop, SeededDice


def played(story):
    with asyncio.Runner(loop_factory=FreeLoop) as runner:
        return runner.run(story)


def test_timers_fire_in_their_order_and_at_their_time():
    async def story():
        clock, fired = FreeClock(), []

        async def sleeper(seconds):
            await asyncio.sleep(seconds)
            fired.append((seconds, clock.mono()))

        async with asyncio.TaskGroup() as group:
            for seconds in (3600.0, 0.1, 86_400.0 * 3, 0.3):
                group.create_task(sleeper(seconds))
        return fired, clock.wall_us()

    fired, wall_us = played(story())
    assert fired == [(seconds, pytest.approx(seconds)) for seconds in (0.1, 0.3, 3600.0, 259_200.0)]
    assert wall_us == BEGINS_US + 259_200_000_000


def test_who_is_done_in_one_moment_is_met_in_the_order_of_birth():
    """A set of tasks must not be in the order of their addresses: chance is drawn in the order of events."""

    async def story():
        tasks = [asyncio.get_running_loop().create_task(asyncio.sleep(1.0), name=f"{n}") for n in range(20)]
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in done]

    assert played(story()) == [f"{n}" for n in range(20)]


def test_no_time_passes_while_there_is_something_to_do():
    async def story():
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert played(story()) == 0.0


def test_a_timeout_comes_when_it_is_due():
    async def story():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60.0):
                await asyncio.sleep(61.0)
        return asyncio.get_running_loop().time()

    assert played(story()) == pytest.approx(60.0)


def test_who_waits_for_what_never_comes_is_told_so():
    async def story():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        played(story())


def test_a_seed_is_the_same_rolls_in_every_process():
    """Figures of a rehearsal may be compared with those of last year's."""
    dice = SeededDice("1/callers")
    assert [round(dice.roll(), 6) for _ in range(3)] == ROLLED
    assert dice.token() == TOKEN
    other = SeededDice("2/callers")
    assert [other.roll() for _ in range(3)] != [SeededDice("1/callers").roll() for _ in range(3)]


def test_rolls_are_spread_evenly():
    dice = SeededDice("any")
    rolls = [dice.roll() for _ in range(10_000)]
    assert all(0 <= roll < 1 for roll in rolls)
    tenths = [sum(int(roll * 10) == tenth for roll in rolls) for tenth in range(10)]
    assert min(tenths) > 900
    assert max(tenths) < 1100


ROLLED = [0.787293, 0.762149, 0.74809]
TOKEN = "0d10d4a8626e320718a6b537"
