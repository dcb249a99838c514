"""Ten thousand streams, a tenth of them left in the middle: afterwards the process holds what it held before.

What is compared are counts: objects of our classes, tasks, files, and pieces of memory. A leak of one object
a stream would show ten thousand times.
"""

import asyncio
import random

import pytest
import uvloop

from tests.endurance.leaving import TABLE, Leaver
from tests.kit.one_loop import DONE, Alive, Inside, one_loop

WORKERS = 50
STAY = 9
"""Streams to the end, for each that is left."""
FEW = 50
"""More objects of a class, where something was seen for the first time: a result of an upstream, a pace, the
attempts of one of the last calls that are shown."""
SLACK = 4000
"""Pieces of memory more or less that caches come to, however long it lasts."""


async def worker(inside: Inside, dice: random.Random, rounds: int) -> None:
    for turn in range(rounds):
        asker = await inside.asker()
        for _ in range(STAY):
            got = await asker.call("well")
            assert DONE in got
            assert [word in got for word in (b" one", b" two", b" three")] == [True] * 3
        asker.leave("close")
        await Leaver.drawn(dice, turn).play(inside)


async def soak(folder, streams: int) -> tuple[Alive, Alive]:
    async with one_loop(folder, TABLE) as inside:

        async def stand() -> Alive:
            """What is alive when all is quiet and the ledger's last batch was that of one call."""
            await inside.quiet()
            last = await inside.asker()
            await last.call("well")
            last.leave("close")
            await inside.quiet()
            return Alive.now()

        async def run(rounds: int) -> None:
            dice = random.Random(rounds)
            await asyncio.gather(*(worker(inside, dice, rounds) for _ in range(WORKERS)))

        await run(2)
        await stand()
        before = await stand()
        await run(streams // (WORKERS * (STAY + 1)))
        return before, await stand()


def check(before: Alive, after: Alive) -> None:
    assert {name: more for name, more in (after.ours - before.ours).items() if more > FEW} == {}
    assert after.tasks == before.tasks
    assert after.files == before.files
    assert abs(after.blocks - before.blocks) < SLACK


@pytest.mark.fault("d14-soak")
@pytest.mark.timeout(180)
def test_ten_thousand_streams_leave_nothing_behind(tmp_path):
    check(*uvloop.run(soak(tmp_path, 10_000)))


@pytest.mark.fault("d14-soak")
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_streams_leave_nothing_behind(tmp_path):
    check(*uvloop.run(soak(tmp_path, 100_000)))
