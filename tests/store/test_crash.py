"""L3: a killed process loses nothing that it acknowledged, and leaves nothing held for ever."""

import random
import signal
import subprocess
import sys
from collections import defaultdict

import pytest

from proxy.store import heads
from tests.store.stores import SqliteStore

KILLS = 25
DOUBLE_KILLS = (4, 9, 14, 19, 24)
"""Runs after which the next start is killed too, while it settles what that run left open."""


def run_and_kill(path, run, after):
    """Let a writer acknowledge `after` things, kill it, and return all that it acknowledged."""
    command = [sys.executable, "-m", "tests.store.crash_writer", str(path), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        told = [child.stdout.readline().split() for _ in range(after)]
        child.kill()
        told += [line.split() for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL
    return told


def kill_while_recovering(path, kill_at):
    command = [sys.executable, "-m", "tests.store.crash_writer", str(path), "unused", str(kill_at)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.timeout(120)
async def test_25_kills_under_64_callers_lose_and_double_nothing(tmp_path):
    dice, store = random.Random(25), SqliteStore(tmp_path)
    told = []
    for run in range(KILLS):
        told += run_and_kill(store.path, run, dice.randrange(1, 1200))
        if run in DOUBLE_KILLS:
            while not (left := len(store.query("SELECT 1 FROM open_calls"))):
                # The kill fell between two batches that left nothing open: kill once more.
                told += run_and_kill(store.path, f"{run}-{len(told)}", dice.randrange(1, 1200))
            kill_while_recovering(store.path, dice.randint(1, left))
            assert len(store.query("SELECT 1 FROM open_calls")) == left
        assert store.faults() == ()

    async with store.open():
        pass
    assert store.faults() == ()
    assert {head.epoch for head in heads.read(store.path)} > set(range(2, KILLS)), "a start told no head"
    assert store.query("SELECT 1 FROM open_calls") == []
    assert store.query("SELECT sum(held) FROM balances") == [(0,)]

    kinds = defaultdict(list)
    for call_id, kind in store.query("SELECT call_id, kind FROM rows ORDER BY seq"):
        kinds[call_id].append(kind)
    assert all(len(each) == 2 and each[0] == "reserve" for each in kinds.values())
    lost = [(kind, call_id) for kind, call_id in told if kind not in kinds[call_id]]
    assert lost == []
    assert len(told) == len(set(map(tuple, told))) > KILLS * 100
