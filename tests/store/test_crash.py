"""L3: a killed process loses nothing that it acknowledged, and leaves nothing held for ever."""

import random
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import closing

import pytest

from proxy.place import Database
from proxy.store.reader import open_reader
from tests.store.failpoints import names
from tests.store.stores import PostgresStore, SqliteStore, beside

KILLS, MANY_KILLS = 25, 500
EVERY = 5
"""After each so many runs the next start is killed too, while it settles what the last run left open."""
LATER = 3
"""Which time a failpoint is deadly, besides the first."""
WRITER = (sys.executable, "-m", "tests.store.crash_writer")


def address(place):
    """As a command line names it."""
    return place.url if isinstance(place, Database) else str(place)


def run_and_kill(place, run, after):
    """Let a writer acknowledge `after` things, kill it, and return all that it acknowledged."""
    with subprocess.Popen([*WRITER, address(place), str(run)], stdout=subprocess.PIPE, text=True) as child:
        told = [child.stdout.readline().split() for _ in range(after)]
        child.kill()
        told += [line.split() for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL
    return told


def run_until(place, run, failpoint, nth):
    """Let a writer run into a failpoint; all that it acknowledged, and whether it died there."""
    command = [*WRITER, address(place), str(run), failpoint, str(nth)]
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
        told += run_and_kill(store.place, run, dice.randrange(1, 1200))
        if run % EVERY == EVERY - 1:
            while not (left := len(store.query("SELECT 1 FROM open_calls"))):
                # The kill fell between two batches that left nothing open: kill once more.
                told += run_and_kill(store.place, f"{run}-{len(told)}", dice.randrange(1, 1200))
            _, died = run_until(store.place, "unused", "before resolve", dice.randint(1, left))
            assert died
            assert len(store.query("SELECT 1 FROM open_calls")) == left
    return told


async def kill_and_check(store, kills):
    told = await kill_often(store, kills)
    assert store.faults() == ()
    await check(store, told)
    assert len(told) > kills * 100
    assert len(epochs_of_heads(store)) > kills // 2, "starts told no heads"


def epochs_of_heads(store):
    def read():
        with closing(open_reader(store.place)) as reader:
            return {head.epoch for head in reader.heads()}

    return beside(read)


@pytest.mark.timeout(120)
async def test_25_kills_under_64_callers_lose_and_double_nothing(tmp_path):
    await kill_and_check(SqliteStore(tmp_path), KILLS)


@pytest.mark.timeout(120)
async def test_10_kills_of_a_replica_under_64_callers_lose_and_double_nothing(database):
    await kill_and_check(PostgresStore(database), KILLS // 5 * 2)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_500_kills_under_64_callers_lose_and_double_nothing(tmp_path):
    await kill_and_check(SqliteStore(tmp_path), MANY_KILLS)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_500_kills_of_a_replica_under_64_callers_lose_and_double_nothing(database):
    await kill_and_check(PostgresStore(database), MANY_KILLS)


@pytest.mark.fault("d2-kill", "d2-twice")
@pytest.mark.parametrize("failpoint", names("sqlite"))
async def test_a_kill_at_every_named_place_loses_and_doubles_nothing(tmp_path, failpoint):
    await kill_at(SqliteStore(tmp_path), failpoint)


@pytest.mark.parametrize("failpoint", names("postgres"))
async def test_a_kill_of_a_replica_at_every_named_place_loses_and_doubles_nothing(database, failpoint):
    await kill_at(PostgresStore(database), failpoint)


async def kill_at(store, failpoint):
    told, died = run_until(store.place, "first", failpoint, 1)
    if not died:  # a step of later lives: settle what a life that was killed has left
        more, _ = run_until(store.place, "second", "after reserve", 100)
        again, died = run_until(store.place, "third", failpoint, 1)
        told += [*more, *again]
    assert died, "the place was never reached"
    more, _ = run_until(store.place, "last", failpoint, LATER)
    await check(store, [*told, *more])
