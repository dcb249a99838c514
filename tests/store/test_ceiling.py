"""Q1: 64 callers against one limit. It is never passed, used up, and refuses exactly when it must.

The limit has a new window every 100 turns, so that callers meet it while it is empty, while it is nearly
spent and while what others hold is all that is in their way, again and again. A worst case is between half a
per cent of the limit and one; what a call turns out to use is a sixteenth of that, on average.
"""

import asyncio
import random

import pytest

from proxy.holds import Granted, Spent
from tests.store.making import DAY
from tests.store.stores import SqliteStore
from tests.store.watched import Watched, most, reading, wrongly_answered

CALLERS = 64
CEILING = 1_000_000
WORST = CEILING // 100
TURNS = 100
"""Of each caller in one window."""
BALANCES = "SELECT window_start, used, held FROM balances"


async def caller(watched, name, calls):
    dice = random.Random(name)
    for turn in range(calls):
        call_id, window = f"{name}-{turn}", DAY + turn // TURNS * 86_400
        amount = dice.randint(WORST // 2, WORST)
        if isinstance(await watched.reserve(call_id, window, amount), Granted):
            kind = "commit" if dice.random() < 0.9 else "release"
            await watched.settle(kind, call_id, window, dice.randrange(amount // 8))


async def storm(store, calls):
    """All callers at once, and somebody who reads beside them; what they heard and what was read."""
    async with store.open() as ledger:
        watched = Watched(ledger, CEILING)
        work = asyncio.gather(*(caller(watched, name, calls) for name in range(CALLERS)))
        return watched, await reading(work, lambda: store.query(BALANCES))


async def judge(store, calls):
    watched, read = await storm(store, calls)
    assert wrongly_answered(watched.asked, CEILING) == []
    answers = [each.answer for each in watched.asked if each.kind == "reserve"]
    assert len(answers) == CALLERS * calls
    assert {type(each) for each in answers} == {Granted, Spent}
    assert any(each.held and each.used + WORST // 2 <= CEILING for each in answers if isinstance(each, Spent))
    assert all(used + held <= CEILING for balances in read for _, used, held in balances)
    assert max(most(store.path).values()) <= CEILING
    left = store.query(BALANCES)
    assert len(left) == calls // TURNS
    assert all(used >= 0.95 * CEILING and held == 0 for _, used, held in left)
    assert store.faults() == ()


@pytest.mark.timeout(180)
async def test_64_callers_of_1000_calls_never_overshoot_and_are_refused_exactly_when_they_must(tmp_path):
    await judge(SqliteStore(tmp_path), 1_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_64_callers_of_10000_calls_never_overshoot_and_are_refused_exactly_when_they_must(tmp_path):
    await judge(SqliteStore(tmp_path), 10_000)
