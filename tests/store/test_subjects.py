"""Subjects: a key for each end person, durable before the ledger knows of them, and no disk after that."""

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from proxy.errors import Refused
from proxy.ports import Act
from proxy.store import open_keys
from proxy.store import subjects as subjects_of
from proxy.store.postgres.database import KEYS, connect
from proxy.store.subjects import pseudonym_of
from tests.store.making import StillClock
from tests.store.stores import SqliteStore

ALICE = "alice@example.com"
KILLS = 12


@pytest.fixture
async def keys(place):
    async with serving(place) as opened:
        yield opened


@asynccontextmanager
async def serving(place):
    """The keys as a process has them that remembers."""
    async with open_keys(place, clock=StillClock()) as opened:
        await opened.mailbox.heed(Memories())
        yield opened


class Memories:
    """Nothing to forget."""

    def forget(self, tenant, user):
        raise AssertionError("nobody was erased")

    def forget_all(self):
        pass


SUBJECTS = "SELECT digest, key FROM subjects"


def rows(folder):
    with closing(sqlite3.connect(folder / "keys.db")) as connection:
        return connection.execute(SUBJECTS).fetchall()


async def subjects(place):
    if isinstance(place, Path):
        return rows(place.parent)
    connection = await connect(place, KEYS)
    try:
        return [tuple(row) for row in await connection.fetch(SUBJECTS)]
    finally:
        await connection.close()


async def test_a_pseudonym_is_stable_keyed_and_apart_by_tenant(keys, place, tmp_path):
    alice = await keys.pseudonym("acme", ALICE)
    assert alice == await keys.pseudonym("acme", ALICE)
    assert len(alice) * 4 >= 128
    others = {await keys.pseudonym("globex", ALICE), await keys.pseudonym("acme", "bob"), alice}
    assert len(others) == 3
    assert await keys.pseudonym("ab", "c") != await keys.pseudonym("a", "bc")
    assert await keys.pseudonym("acme", "\ud800") != alice
    async with open_keys(place, clock=StillClock()) as again:
        assert await again.pseudonym("acme", ALICE) == alice
    async with open_keys(tmp_path / "other" / "ledger.db", clock=StillClock()) as elsewhere:
        assert await elsewhere.pseudonym("acme", ALICE) != alice


async def test_each_person_has_a_key_of_their_own(keys, place):
    made = {await keys.pseudonym("acme", user) for user in (ALICE, "bob")}
    found = await subjects(place)
    assert len({key for _, key in found}) == 2
    assert {pseudonym_of(key) for _, key in found} == made


async def test_a_session_is_its_person_s_and_without_one_its_tenant_s(keys):
    """The same id names another session for another person, another tenant, and for nobody."""
    alice, session = await keys.in_session("acme", ALICE, "s-1")
    assert alice == await keys.pseudonym("acme", ALICE)
    assert (alice, session) == await keys.in_session("acme", ALICE, "s-1")
    assert session != alice
    assert len(session) == len(alice)
    others = [
        await keys.in_session(tenant, user, name)
        for tenant, user, name in (
            ("acme", ALICE, "s-2"),
            ("acme", "bob", "s-1"),
            ("acme", None, "s-1"),
            ("globex", None, "s-1"),
            ("globex", ALICE, "s-1"),
            ("acme", None, "s-2"),
        )
    ]
    assert len({session, *(other for _, other in others)}) == 7
    assert [person for person, _ in others[2:4]] == [None, None]


async def test_a_session_is_the_same_after_a_restart(keys, place):
    before = [await keys.in_session("acme", user, "s-1") for user in (ALICE, None)]
    async with open_keys(place, clock=StillClock()) as again:
        assert [await again.in_session("acme", user, "s-1") for user in (ALICE, None)] == before


async def test_an_erased_person_s_sessions_mean_nobody(keys):
    """With the key gone the same id makes another session: what stands in the ledger cannot be made again."""
    before = await keys.in_session("acme", ALICE, "s-1")
    nobodys = await keys.in_session("acme", None, "s-1")
    assert await keys.mailbox.post_erasure(Act("act_1", 1, "os:test"), "acme", ALICE)
    keys.forget(before[0])
    after = await keys.in_session("acme", ALICE, "s-1")
    assert not {*before} & {*after}
    assert await keys.in_session("acme", None, "s-1") == nobodys


async def test_the_file_knows_no_id(tmp_path):
    async with open_keys(tmp_path / "ledger.db", clock=StillClock()) as keys:
        await keys.pseudonym("acme", ALICE)
    assert ALICE.encode() not in (tmp_path / "keys.db").read_bytes()


@pytest.fixture
def batches(keys, monkeypatch):
    """How many persons each question to the register was about."""
    asked, register = [], keys.subjects._register
    look_up = register.keys_of

    def seen(batch):
        asked.append(len(batch))
        return look_up(batch)

    monkeypatch.setattr(register, "keys_of", seen)
    return asked


async def test_a_person_seen_before_costs_no_question(keys, batches):
    first = await keys.pseudonym("acme", ALICE)
    assert await keys.pseudonym("acme", ALICE) == first
    assert batches == [1]


async def test_all_who_wait_together_share_one_transaction(keys, batches):
    users = [f"person-{number % 500}" for number in range(1000)]
    made = await asyncio.gather(*(keys.pseudonym("acme", user) for user in users))
    assert len(set(made)) == 500
    assert made[:500] == made[500:]
    assert sum(batches) == 500
    assert len(batches) <= 2


async def test_two_processes_that_meet_the_same_person_make_one_subject(keys, place):
    async with serving(place) as other:
        for number in range(20):
            ours, theirs = await asyncio.gather(
                *(each.pseudonym("acme", f"person-{number}") for each in (keys, other))
            )
            assert ours == theirs
    assert len(await subjects(place)) == 20


async def test_a_caller_who_hangs_up_leaves_nothing_half_done(keys, place):
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(keys.pseudonym("acme", ALICE))
        staying = group.create_task(keys.pseudonym("acme", ALICE))
        await asyncio.sleep(0)
        leaving.cancel()
    [(_, key)] = await subjects(place)
    assert pseudonym_of(key) == await staying


async def test_a_file_that_cannot_be_written_refuses_new_persons_and_serves_known_ones(tmp_path, caplog):
    async with open_keys(tmp_path / "ledger.db", clock=StillClock()) as keys:
        known = await keys.pseudonym("acme", ALICE)
        (tmp_path / "keys.db").rename(tmp_path / "away.db")
        keys.subjects._thread.submit(
            keys.subjects._register.part
        ).result()  # it would go on with the file it has open
        with pytest.raises(Refused) as caught:
            await keys.pseudonym("acme", "bob")
        assert (caught.value.told.status, caught.value.told.code) == (503, "keys_unavailable")
        assert await keys.pseudonym("acme", ALICE) == known
        assert ALICE not in caplog.text
        (tmp_path / "away.db").rename(tmp_path / "keys.db")
        assert await keys.pseudonym("acme", "bob") != known


async def test_the_memory_of_pseudonyms_is_bounded(keys, monkeypatch):
    monkeypatch.setattr("proxy.store.subjects.KNOWN_MAX", 3)
    first = [await keys.pseudonym("acme", f"person-{number}") for number in range(5)]
    assert len(keys.subjects._known) == 3
    assert [await keys.pseudonym("acme", f"person-{number}") for number in range(5)] == first


def run_and_kill(folder, run, after):
    command = [sys.executable, "-m", "tests.store.subject_writer", str(folder), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        told = [child.stdout.readline().split() for _ in range(after)]
        child.kill()
        told += [line.split() for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL
    return told


@pytest.mark.timeout(120)
def test_no_kill_leaves_a_pseudonym_without_its_key_or_a_person_with_two(tmp_path):
    dice, told = random.Random(12), set()
    for run in range(KILLS):
        told |= set(map(tuple, run_and_kill(tmp_path, run, dice.randrange(1, 600))))
    assert len(told) == len({user for user, _ in told}) == len({pseudonym for _, pseudonym in told})
    keyed = {pseudonym_of(key) for _, key in rows(tmp_path)}
    written = {each for (each,) in SqliteStore(tmp_path).query("SELECT DISTINCT user_pseudonym FROM rows")}
    assert len(written) > 500
    assert written <= keyed
    assert {pseudonym for _, pseudonym in told} <= written


class Held:
    """A register that answers when it is let."""

    era = 0

    def __init__(self):
        self.let = threading.Event()

    def keys_of(self, digests):
        assert self.let.wait(30)
        return {digest: digest for digest in digests}

    def part(self):
        pass


async def test_who_comes_while_too_many_wait_to_be_looked_up_is_refused_and_may_come_again(monkeypatch):
    monkeypatch.setattr(subjects_of, "WAITING_MAX", 3)
    register = Held()
    subjects = subjects_of.Subjects(register, b"lookup")
    waiting = [asyncio.create_task(subjects.pseudonym("acme", name)) for name in ("a", "b", "c", "a")]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await subjects.pseudonym("acme", "d")
    assert (refused.value.told.status, refused.value.told.retry_after_s) == (503, 1.0)
    register.let.set()
    names = await asyncio.gather(*waiting)
    assert names[0] == names[3]
    assert len(set(names)) == 3
    assert await subjects.pseudonym("acme", "d")
    subjects.close()
