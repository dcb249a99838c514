"""L3: a killed process loses nothing that it acknowledged, and leaves nothing held for ever."""

import random
import signal
import subprocess
import sys
from collections import defaultdict

import pytest

from proxy.store import heads
from tests.store.failpoints import NAMES
from tests.store.stores import SqliteStore

KILLS, MANY_KILLS = 25, 500
EVERY = 5
"""After each so many runs the next start is killed too, while it settles what the last run left open."""
LATER = 3
"""Which time a failpoint is deadly, besides the first."""
WRITER = (sys.executable, "-m", "tests.store.crash_writer")


def run_and_kill(path, run, after):
    """Let a writer acknowledge `after` things, kill it, and return all that it acknowledged."""
    with subprocess.Popen([*WRITER, str(path), str(run)], stdout=subprocess.PIPE, text=True) as child:
        told = [child.stdout.readline().split() for _ in range(after)]
        child.kill()
        told += [line.split() for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL
    return told


def run_until(path, run, failpoint, nth):
    """Let a writer run into a failpoint; all that it acknowledged, and whether it died there."""
    command = [*WRITER, str(path), str(run), failpoint, str(nth)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return [line.split() for line in done.stdout.splitlines(keepends=True) if line.endswith("\n")], bool(
        done.returncode
    )


async def check(store, told):
    """A start settles all that was open, and nothing told was lost or doubled."""
    async with store.open():
        pass
    assert store.faults() == ()
    assert store.query("SELECT 1 FROM open_calls") == []
    assert store.query("SELECT coalesce(sum(held), 0) FROM balances") == [(0,)]
    kinds = defaultdict(list)
    for call_id, kind in store.query("SELECT call_id, kind FROM rows ORDER BY seq"):
        kinds[call_id].append(kind)
    assert all(len(each) == 2 and each[0] == "reserve" for each in kinds.values())
    assert [(kind, call_id) for kind, call_id in told if kind not in kinds[call_id]] == []
    assert len(told) == len(set(map(tuple, told)))


async def kill_often(store, kills):
    """All that was acknowledged by writers that were killed at random moments."""
    dice, told = random.Random(kills), []
    for run in range(kills):
        told += run_and_kill(store.path, run, dice.randrange(1, 1200))
        if run % EVERY == EVERY - 1:
            while not (left := len(store.query("SELECT 1 FROM open_calls"))):
                # The kill fell between two batches that left nothing open: kill once more.
                told += run_and_kill(store.path, f"{run}-{len(told)}", dice.randrange(1, 1200))
            _, died = run_until(store.path, "unused", "before resolve", dice.randint(1, left))
            assert died
            assert len(store.query("SELECT 1 FROM open_calls")) == left
    return told


@pytest.mark.timeout(120)
async def test_25_kills_under_64_callers_lose_and_double_nothing(tmp_path):
    store = SqliteStore(tmp_path)
    told = await kill_often(store, KILLS)
    assert store.faults() == ()
    await check(store, told)
    assert len(told) > KILLS * 100
    assert {head.epoch for head in heads.read(store.path)} > set(range(2, KILLS)), "a start told no head"


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_500_kills_under_64_callers_lose_and_double_nothing(tmp_path):
    store = SqliteStore(tmp_path)
    told = await kill_often(store, MANY_KILLS)
    await check(store, told)
    assert len(told) > MANY_KILLS * 100


@pytest.mark.parametrize("failpoint", NAMES)
async def test_a_kill_at_every_named_place_loses_and_doubles_nothing(tmp_path, failpoint):
    store = SqliteStore(tmp_path)
    told, died = run_until(store.path, "first", failpoint, 1)
    if not died:  # a step of later lives: settle what a life that was killed has left
        more, _ = run_until(store.path, "second", "after reserve", 100)
        again, died = run_until(store.path, "third", failpoint, 1)
        told += [*more, *again]
    assert died, "the place was never reached"
    more, _ = run_until(store.path, "last", failpoint, LATER)
    await check(store, [*told, *more])
