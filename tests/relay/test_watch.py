"""One timer for deadlines that move."""

import asyncio

import pytest

from proxy.watch import NEVER, Watch
from tests.kit.virtual import HastyLoop, VirtualLoop, play

LOOPS = [VirtualLoop, HastyLoop]


def when_late(course, due=10.0, loop=VirtualLoop):
    """When a watch ends a task that does `course` and then nothing; None: it did not before 1000."""

    async def story():
        clock = asyncio.get_running_loop()
        try:
            with Watch(due) as watch:
                await course(watch, clock.time)
                await asyncio.sleep(1000.0 - clock.time())
        except TimeoutError:
            return clock.time()
        return None

    return play(story(), loop=loop)


async def still(watch, time):
    """Nothing happens."""


@pytest.mark.parametrize("loop", LOOPS)
def test_it_is_late_when_it_is_due_and_not_before(loop):
    assert when_late(still, loop=loop) >= 10.0
    assert when_late(still, NEVER, loop=loop) is None


def test_a_due_time_moves_both_ways():
    async def later(watch, time):
        watch.move(20.0)

    async def sooner(watch, time):
        watch.move(20.0)
        watch.move(5.0)

    async def not_at_all(watch, time):
        watch.move(NEVER)
        await asyncio.sleep(50.0)
        watch.move(60.0)

    assert [when_late(course) for course in (later, sooner, not_at_all)] == [20.0, 5.0, 60.0]


@pytest.mark.parametrize(
    ("stirs", "last", "late"),
    [
        ([], 100.0, 4.0),
        ([3.0], 100.0, 7.0),
        ([3.0, 6.0, 9.0, 12.0], 100.0, 16.0),
        ([3.0, 6.0, 9.0], 11.0, 11.0),
        ([], 2.0, 2.0),
        ([3.0, 6.0], NEVER, 10.0),
    ],
)
@pytest.mark.parametrize("due", [1.0, 10.0, NEVER])
def test_what_stirs_puts_off_its_end_but_not_beyond_the_last_moment(stirs, last, late, due):
    async def stirring(watch, time):
        watch.idle(4.0, time(), last)
        for moment in stirs:
            await asyncio.sleep(moment - time())
            watch.stirred = time()

    assert when_late(stirring, due) == late


def test_who_is_waited_for_is_not_idle():
    async def slow(watch, time):
        watch.idle(4.0, time(), 100.0)
        await asyncio.sleep(2.0)
        watch.move(NEVER)
        await asyncio.sleep(50.0)
        watch.idle(4.0, time(), 100.0)

    assert when_late(slow) == 56.0


def test_a_cancellation_from_elsewhere_is_none_of_its_own():
    async def story():
        with Watch(10.0):
            await asyncio.sleep(1000.0)

    async def left():
        task = asyncio.create_task(story())
        await asyncio.sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(left())
