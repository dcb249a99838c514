"""Pruning beside a running proxy, as an operator and as the table does it; killed at every step."""

import asyncio
import shutil
import signal
import subprocess
import sys

import aiohttp
import apsw
import pytest

from proxy.store import heads, open_keys
from proxy.store.keys import read_public_key
from tests.kit.killed import run_killed
from tests.kit.processes import eventually, house
from tests.kit.second import second_verifier
from tests.process.test_people import query, whole
from tests.store.making import StillClock, charge, claim, hold, settlement
from tests.store.stores import SqliteStore

CALLS = 560
"""More than a segment's rows, two a call."""


async def ask(built, number):
    """So many calls, all at once."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 5}
    headers = {"authorization": f"Bearer {built.key}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=64)) as session:

        async def one():
            async with session.post(built.base_url + "/chat/completions", json=body) as response:
                assert response.status == 200, await response.text()

        await asyncio.gather(*(one() for _ in range(number)))


def prune(built, before):
    return built.run("ledger", "prune", "--config", str(built.config), "--before", before)


@pytest.mark.timeout(120)
def test_rows_go_beside_a_running_proxy_and_usage_and_proofs_stay(tmp_path):
    with house(tmp_path, extra="\nlimits:\n  - {per: tenant, requests: 10_000, every: month}\n") as built:
        asyncio.run(ask(built, CALLS))
        built.kill("proxy", how=signal.SIGTERM)  # its last head covers all of them
        built.serve()
        words = ("usage", "--json", "--config", str(built.config))
        usage, used = built.run(*words), query(built, "SELECT used FROM balances")
        prune(built, "1d")
        assert query(built, "SELECT count(*) FROM stub") == [(0,)], "nothing is that old"
        prune(built, "0m")
        assert query(built, "SELECT size FROM stub") == [(1024,)]
        assert query(built, "SELECT min(seq) FROM rows") == [(1025,)]
        assert built.run(*words) == usage
        assert query(built, "SELECT used FROM balances") == used
        asyncio.run(ask(built, 3))
        eventually(lambda: query(built, "SELECT count(*) FROM open_calls") == [(0,)])
        whole(built)
        built.kill("proxy")
        built.serve()
        asyncio.run(ask(built, 1))
        whole(built)


STEPS = (
    *("proxy.store.sqlite.mailbox.Mailbox.post:after", "proxy.store.retention.plan:after"),
    *("proxy.store.retention.settle_stub:before", "proxy.store.retention.settle_stub:after"),
    *("proxy.store.retention.drop:before", "proxy.store.retention.drop:after"),
    "proxy.store.sqlite.mailbox.Mailbox.answer:before",
)


async def fill(store):
    async with open_keys(store.path, clock=StillClock()) as keys, store.open(seal=keys.seal) as ledger:
        calls = [f"c{number}" for number in range(1100)]
        await asyncio.gather(*(ledger.reserve(hold(call_id, claim(10, 10**6))) for call_id in calls))
        await asyncio.gather(*(ledger.commit(settlement(call_id, charge(8))) for call_id in calls))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    store = SqliteStore(tmp_path_factory.mktemp("filled"))
    asyncio.run(fill(store))
    return store


@pytest.mark.parametrize("step", STEPS)
def test_a_pruning_killed_at_any_step_is_ended_by_the_next_owner(filled, tmp_path, step):
    store = SqliteStore(tmp_path)
    for path in (filled.path, heads.heads_path(filled.path), filled.path.with_name("keys.db")):
        shutil.copy(path, tmp_path)
    words = ("ledger", "prune", "--ledger", str(store.path), "--before", "1h")
    assert run_killed(step, *words) == -signal.SIGKILL
    assert store.faults() == ()
    done = subprocess.run([sys.executable, "-m", "proxy", *words], check=True, capture_output=True, text=True)
    assert "rows were taken away" in done.stderr
    assert store.query("SELECT size FROM stub") == [(2048,)]
    assert store.query("SELECT min(seq) FROM rows") == [(2049,)]
    assert len(store.query("SELECT 1 FROM rows WHERE kind = 'prune'")) == 1
    assert store.faults() == ()
    assert second_verifier().verify(store.path, key=read_public_key(tmp_path / "ledger.db").raw) == []


def test_the_table_s_retention_prunes_by_itself(filled, tmp_path):
    for path in (filled.path, heads.heads_path(filled.path), filled.path.with_name("keys.db")):
        shutil.copy(path, tmp_path)
    with house(tmp_path, extra="\nprivacy: {retention: 1d}\n") as built:
        eventually(lambda: query(built, "SELECT min(seq) FROM rows") == [(2049,)])
        [(who,)] = query(built, "SELECT key_id FROM rows WHERE kind = 'prune'")
        assert who == "retention"
        eventually(lambda: "old rows were pruned" in built.log())
        whole(built)


def test_the_future_is_no_time_to_prune_by(filled, tmp_path):
    store = SqliteStore(tmp_path)
    shutil.copy(filled.path, tmp_path)
    words = ("ledger", "prune", "--ledger", str(store.path), "--before", "2999-01-01")
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *words], check=False, capture_output=True, text=True
    )
    assert (done.returncode, "that is in the future" in done.stderr) == (2, True)
    assert apsw.Connection(str(store.path)).execute("SELECT count(*) FROM stub").get == 0
