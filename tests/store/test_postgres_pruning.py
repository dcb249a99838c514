"""Pruning a database that many replicas write: two at once, one killed in between, with calls beside."""

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from proxy.ports import Declined
from proxy.store import open_keys, open_ledger, retention
from proxy.store.anchor import Cadence
from proxy.store.chain import SEGMENT_ROWS
from proxy.store.export import Export, Wanted
from proxy.store.fault import StoreRefused
from proxy.store.keys import read_public_key
from proxy.store.pace import Pace
from proxy.store.replay import check
from tests.kit.killed import run_killed
from tests.kit.second import address, second_verifier
from tests.store.making import ACME, DAY, WALL_US, StillClock, act, charge, claim, hold, settlement
from tests.store.stores import PostgresStore, beside

PACE = Pace(retry_s=0.001, idle_s=0.01, heads=Cadence(rows=100, seconds=10**9))
"""Quick to try again; nobody is taken for dead within a test."""
LATER = DAY + 90 * 86_400
BEFORE_US = WALL_US + 86_400_000_000


async def called(ledger, names, window=DAY):
    """Calls of one day, all at once."""
    names = list(names)
    at_us = window * 1_000_000
    holds = (replace(hold(name, claim(10, 10**9, window=window)), at_us=at_us) for name in names)
    await asyncio.gather(*map(ledger.reserve, holds))
    ended = (replace(settlement(name, charge(8, window=window)), ended_us=at_us + 1) for name in names)
    await asyncio.gather(*map(ledger.commit, ended))


async def fill(store):
    """Two segments of an old day, and a few calls of a later one."""
    async with open_keys(store.place, clock=StillClock()) as keys, store.open(seal=keys.seal) as ledger:
        await called(ledger, (f"old-{number}" for number in range(SEGMENT_ROWS)))
        await called(ledger, (f"new-{number}" for number in range(50)), LATER)


@pytest.fixture(scope="module")
def filled(postgres):
    store = PostgresStore(postgres.database())
    asyncio.run(fill(store))
    return store


@pytest.fixture
def store(filled, postgres):
    opened = filled.copied(postgres)
    yield opened
    assert opened.faults() == ()
    key = read_public_key(opened.place)
    assert second_verifier().verify(address(opened.place), key=key.raw) == []
    assert check(opened.place) == ()


@asynccontextmanager
async def replica(store):
    options = {"clock": StillClock(), "on_alert": store.alerts.append, "pace": PACE}
    async with (
        open_keys(store.place, clock=StillClock()) as keys,
        open_ledger(store.place, seal=keys.seal, **options) as ledger,
    ):
        yield ledger


def stands(store):
    """How many rows the stub stands for, the first row that is left, and how often was pruned."""
    [(size,)] = store.query("SELECT coalesce(max(size), 0) FROM stub")
    [(first,)] = store.query("SELECT min(seq) FROM rows")
    return size, first, len(store.query("SELECT 1 FROM rows WHERE kind = 'prune'"))


PRUNED = (2 * SEGMENT_ROWS, 2 * SEGMENT_ROWS + 1, 1)


async def test_of_two_replicas_that_prune_at_once_one_does_and_the_other_stays_in_service(store, monkeypatch):
    """Both have read the same old rows before either says so."""
    plan, both = retention.plan, threading.Barrier(2)

    def planned(*words):
        found = plan(*words)
        both.wait(20)
        return found

    monkeypatch.setattr(retention, "plan", planned)
    async with replica(store) as one, replica(store) as two:
        await one.reserve(hold("of one", claim(10, 10**9, window=LATER)))
        await two.reserve(hold("of two", claim(10, 10**9, window=LATER)))
        replicas = store.query("SELECT epoch FROM replicas ORDER BY epoch")
        told = await asyncio.gather(
            *(each.prune(act(name), BEFORE_US) for each, name in ((one, "p1"), (two, "p2"))),
            return_exceptions=True,
        )
        pruned, declined = sorted(told, key=lambda each: isinstance(each, Declined))
        assert pruned == 2 * SEGMENT_ROWS
        assert isinstance(declined, Declined)
        assert str(declined) == "rows were pruned meanwhile; prune once more"
        for ledger, name in ((one, "of one"), (two, "of two")):
            await ledger.commit(settlement(name, charge(8, window=LATER)))
        assert store.query("SELECT epoch FROM replicas ORDER BY epoch") == replicas, "neither began anew"
        monkeypatch.undo()
        assert await two.prune(act("p3"), BEFORE_US) == 0
    assert stands(store) == PRUNED


async def test_rows_that_another_replica_takes_away_are_not_said_to_be_changed(store, monkeypatch):
    """What is read to be pruned goes while it is read: that is no reason to doubt the ledger."""
    async with replica(store) as one, replica(store) as two:
        loop, take = asyncio.get_running_loop(), retention._Reading.take

        def interrupted(reading, link):
            if link.seq:
                monkeypatch.setattr(retention._Reading, "take", take)
                pruned = asyncio.run_coroutine_threadsafe(two.prune(act("p2"), BEFORE_US), loop)
                assert pruned.result(20) == 2 * SEGMENT_ROWS
            return take(reading, link)

        monkeypatch.setattr(retention._Reading, "take", interrupted)
        with pytest.raises(Declined, match="rows were pruned meanwhile; prune once more"):
            await one.prune(act("p1"), BEFORE_US)
    assert stands(store) == PRUNED


async def test_an_export_of_rows_that_are_taken_away_says_that_and_no_worse(store):
    async with replica(store) as ledger:
        lines = Export(store.place, Wanted(ACME.tenant, ACME.user), None).rows()
        beside(lambda: next(lines))
        await ledger.prune(act("p1"), BEFORE_US)
        with pytest.raises(StoreRefused, match="rows were pruned while they were read; export again"):
            beside(lambda: list(lines))
        manifest = Export(store.place, Wanted(ACME.tenant, ACME.user), None)
        assert len(beside(lambda: list(manifest.rows()))) == 100


async def test_two_replicas_prune_and_take_calls_while_a_verifier_reads(store):
    async with replica(store) as one, replica(store) as two:

        async def working(ledger, name):
            await called(ledger, (f"{name}-{number}" for number in range(300)), LATER)
            return await ledger.prune(act(f"prune-{name}"), BEFORE_US)

        async def verifying():
            while not asking.done():
                assert await asyncio.to_thread(store.faults) == ()
                assert (await asyncio.to_thread(check, store.place)) == ()

        asking = asyncio.gather(
            *(working(*each) for each in ((one, "a"), (two, "b"))), return_exceptions=True
        )
        await verifying()
        told = await asking
    assert 2 * SEGMENT_ROWS in told
    assert all(each in {0, 2 * SEGMENT_ROWS} or isinstance(each, Declined) for each in told)
    assert stands(store) == PRUNED


STEPS = (
    *("proxy.store.postgres.mailbox.SharedMailbox.post:after", "proxy.store.retention.plan:after"),
    *("proxy.store.retention.settle_stub:before", "proxy.store.retention.settle_stub:after"),
    *("proxy.store.retention.drop:before", "proxy.store.retention.drop:after"),
    "proxy.store.postgres.mailbox._answer:after",
)


@pytest.mark.parametrize("step", STEPS)
def test_a_pruning_killed_at_any_step_is_ended_by_the_next(store, step):
    words = ("ledger", "prune", "--ledger", store.place.url, "--before", "1h")
    assert run_killed(step, *words) == -signal.SIGKILL
    assert store.faults() == ()
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *words], check=False, capture_output=True, text=True
    )
    assert (done.returncode, "rows were taken away" in done.stderr) == (0, True), done.stderr
    assert stands(store) == PRUNED
