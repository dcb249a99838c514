"""L3 when the power goes: whatever part of the unflushed sectors is on the disk, nothing told is lost."""

import asyncio
import random
import shutil
from collections import defaultdict

import pytest

from proxy.holds import Granted
from proxy.store import StoreRefused, open_ledger
from proxy.store.anchor import Cadence
from proxy.store.pace import Pace
from proxy.store.sqlite import database
from proxy.store.sqlite.database import open_file
from tests.store.making import StillClock, charge, claim, hold, settlement
from tests.store.power import Image, Recorder, images
from tests.store.stores import SqliteStore

PACE = Pace(batch=8, wal_pages=40, idle_s=3600, heads=Cadence(rows=30, seconds=3600))
"""Many small transactions; the log is copied back and cut short often; heads are told often."""
SAMPLE = 400


def small(folder):
    return folder / "ledger.db"


async def work(recorder, calls, seed):
    """Callers that reserve, and most of whom settle, over two lives of the process."""
    dice = random.Random(seed)

    async def one(ledger, call_id):
        assert isinstance(await ledger.reserve(hold(call_id, claim(10, 10**9))), Granted)
        recorder.heard("reserve", call_id)
        fate = dice.random()
        if fate < 0.7:
            await ledger.commit(settlement(call_id, charge(dice.randrange(10))))
            recorder.heard("commit", call_id)
        elif fate < 0.9:
            await ledger.release(settlement(call_id))
            recorder.heard("release", call_id)

    for life in range(2):
        async with open_ledger(recorder.path, clock=StillClock(), on_alert=print, pace=PACE) as ledger:
            for start in range(0, calls, 4):
                async with asyncio.TaskGroup() as group:
                    for number in range(start, start + 4):
                        group.create_task(one(ledger, f"life{life}-{number}"))


def record(folder, calls, seed=1):
    """A recorded life, the database it began with, and its heads file."""
    path = small(folder)
    open_file(path, 1000).close()
    before = path.read_bytes()
    with Recorder(path) as recorder:
        asyncio.run(work(recorder, calls, seed))
    return recorder, before, path.with_name(path.name + ".heads").read_bytes()


async def found_after(folder, image: Image, heads):
    """Start on what the cut left behind; the rows by call, and what does not agree."""
    image.write(small(folder), heads)
    store = SqliteStore(folder)
    async with store.open():
        pass
    kinds = defaultdict(list)
    for call_id, kind in store.query("SELECT call_id, kind FROM rows ORDER BY seq"):
        kinds[call_id].append(kind)
    return kinds, store.faults(), store.query("SELECT sum(held) FROM balances")


def wrong_with(folder, image, heads, acknowledged):
    """Every promise that this disk breaks."""
    try:
        kinds, faults, held = asyncio.run(found_after(folder, image, heads))
    except StoreRefused as refused:
        return [f"the start refuses it: {refused}"]
    wrong = list(faults)
    wrong += [
        f"lost {kind} {call}" for kind, call in acknowledged[: image.acknowledged] if kind not in kinds[call]
    ]
    wrong += [f"{call} has {each}" for call, each in kinds.items() if len(each) != 2 or each[0] != "reserve"]
    if held not in ([(0,)], [(None,)]):
        wrong.append(f"held for ever: {held}")
    return wrong


def judge(folder, recorder, before, heads, chosen):
    """The first broken promise of the chosen disks, and how many were looked at."""
    spot = folder / "after"
    seen = 0
    for image in chosen(images(recorder, before, seed=2, torn=3)):
        shutil.rmtree(spot, ignore_errors=True)
        spot.mkdir()
        wrong = wrong_with(spot, image, heads, recorder.acknowledged)
        seen += 1
        if wrong:
            return seen, f"cut after step {image.step}, share {image.share}: {wrong[:3]}"
    return seen, None


def sampled(count):
    """So many disks out of all, spread over the whole life, the same every time."""

    def choose(every):
        listed = list(every)
        kept = sorted(random.Random(3).sample(range(len(listed)), min(count, len(listed))))
        return [listed[at] for at in kept]

    return choose


def test_the_recording_sees_every_kind_of_step(tmp_path):
    recorder, _, heads = record(tmp_path, calls=40)
    steps = {(step.suffix, "flush" if step.change is None else "write") for step in recorder.steps}
    assert steps == {("", "write"), ("", "flush"), ("-wal", "write"), ("-wal", "flush")}
    assert any(step.change and step.change.data is None for step in recorder.steps), "the log was never cut"
    assert heads.count(b"\n") > 2
    assert len(recorder.acknowledged) > 80


@pytest.mark.fault("d2-kill")
@pytest.mark.timeout(180)
def test_a_power_cut_loses_and_doubles_nothing(tmp_path):
    recorder, before, heads = record(tmp_path, calls=40)
    seen, wrong = judge(tmp_path, recorder, before, heads, sampled(SAMPLE))
    assert wrong is None
    assert seen == SAMPLE


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_power_cut_at_every_boundary_loses_and_doubles_nothing(tmp_path):
    recorder, before, heads = record(tmp_path, calls=200)
    seen, wrong = judge(tmp_path, recorder, before, heads, list)
    assert wrong is None
    assert seen >= 3000


@pytest.mark.timeout(180)
def test_a_ledger_that_does_not_flush_is_caught(tmp_path, monkeypatch):
    lax = tuple(each.replace("synchronous = FULL", "synchronous = NORMAL") for each in database.PRAGMAS)
    assert lax != database.PRAGMAS
    monkeypatch.setattr(database, "PRAGMAS", lax)
    recorder, before, heads = record(tmp_path, calls=40)
    monkeypatch.undo()
    _, wrong = judge(tmp_path, recorder, before, heads, sampled(SAMPLE))
    assert wrong is not None
    assert "lost" in wrong or "rolled back" in wrong


def test_a_disk_that_forgets_a_flush_is_caught(tmp_path):
    recorder, before, heads = record(tmp_path, calls=40)
    kept = [step for step in recorder.steps if step.change is not None or step.suffix == ""]
    recorder.steps[:] = kept
    _, wrong = judge(tmp_path, recorder, before, heads, sampled(SAMPLE))
    assert wrong is not None
