"""Keys, persons and letters in PostgreSQL: what many replicas owe one another, and what a lost server leaves."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from proxy.duties.acts import Office
from proxy.errors import Refused
from proxy.ports import Grant, Letter
from proxy.store import StoreRefused, open_keys
from proxy.store.callers import digest_of
from proxy.store.keys import exists, find_pseudonym, read_seal
from proxy.store.postgres.database import KEYS, connect
from proxy.store.postgres.reader import LEASE_S, RENEW_S
from proxy.store.subjects import pseudonym_of
from tests.kit.postgres import Server, programs
from tests.store.making import StillClock, act

ALICE, BOB = "alice-4711@example.org", "bob-0815@example.org"


class Ledger:
    """A steward that counts, and says who of the replicas still remembers when it is told."""

    def __init__(self):
        self.told = []

    async def erased(self, act, tenant):
        self.told.append((act.id, tenant))

    async def reset(self, act, scope):
        self.told.append((act.id, scope))
        return ()

    async def prune(self, act, before_us):
        self.told.append((act.id, before_us))
        return 7


class Memory:
    """Something that remembers persons beside the keys."""

    def __init__(self):
        self.forgotten = []

    def forget(self, tenant, user):
        self.forgotten.append((tenant, user))

    def forget_all(self):
        self.forgotten.append("all")


class Replica:
    """A process that serves: its keys, its memory, and the steward that all share."""

    def __init__(self, keys, clock, steward):
        self.keys, self.clock, self.memory = keys, clock, Memory()
        self.mailbox = keys.mailbox
        self.office = Office(steward, keys, (self.memory,))

    async def heed(self):
        await self.mailbox.heed(self.office)

    async def answer(self):
        for letter in await self.mailbox.unanswered():
            await self.mailbox.settle(letter, self.office.carry_out)


@pytest.fixture
def steward():
    return Ledger()


@pytest.fixture
async def join(database, steward):
    """Makes one replica more, that has been heard of."""
    async with AsyncExitStack() as stack:

        async def joined(place=database):
            clock = StillClock()
            replica = Replica(await stack.enter_async_context(open_keys(place, clock=clock)), clock, steward)
            await replica.heed()
            return replica

        yield joined


async def query(database, sql, *values):
    connection = await connect(database, KEYS)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


async def silent(database):
    """All readers were last heard of a minute ago."""
    await query(database, "UPDATE readers SET seen_at = seen_at - interval '1 minute'")


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_one_replica_does_to_a_key_the_others_know_after_a_refresh(join):
    here, there = (await join()).keys, (await join()).keys
    key = await here.create("acme", "laptop")
    assert there.find(digest_of(key.text)) is None
    assert await there.refresh()
    assert there.find(digest_of(key.text)) == Grant(key.key_id, "acme")
    assert not await there.refresh()
    other = await there.rotate(key.key_id)
    await here.refresh()
    assert (here.find(digest_of(key.text)), here.find(digest_of(other.text)).key_id) == (None, key.key_id)
    assert await here.revoke(key.key_id)
    await there.refresh()
    assert there.find(digest_of(other.text)) is None
    assert [each.name for each in await there.list()] == ["laptop"]


async def test_only_digests_reach_the_database(join, database):
    key = await (await join()).keys.create("acme")
    [(whole,)] = await query(database, "SELECT string_agg(k::text, '') FROM keys AS k")
    assert digest_of(key.text).hex() in whole
    assert key.text.removeprefix("ft-") not in whole


async def test_all_replicas_have_one_seal_and_readers_find_it(join, database, tmp_path):
    here, there = await join(), await join()
    assert here.keys.seal.key_id == there.keys.seal.key_id
    found = await asyncio.to_thread(read_seal, database)
    assert found.key_id == here.keys.seal.key_id
    pseudonym = await here.keys.pseudonym("acme", ALICE)
    assert await asyncio.to_thread(find_pseudonym, database, "acme", ALICE) == pseudonym
    assert await asyncio.to_thread(find_pseudonym, database, "acme", BOB) is None


async def test_a_database_without_keys_says_so(database):
    assert not await asyncio.to_thread(exists, database)
    assert await asyncio.to_thread(read_seal, database) is None
    with pytest.raises(StoreRefused, match="PostgreSQL cannot be used"):
        await asyncio.to_thread(find_pseudonym, database, "acme", ALICE)
    async with open_keys(database, clock=StillClock()):
        assert await asyncio.to_thread(exists, database)


@pytest.fixture
def server():
    """A server that a test may stop."""
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server is installed here (initdb, postgres)")
    made = Server.made(found)
    yield made
    made.remove()


async def test_a_server_that_was_away_leaves_known_keys_in_force_and_is_found_again(server, join, caplog):
    database = server.database()
    replica = await join(database)
    keys = replica.keys
    key, known = await keys.create("acme"), await keys.pseudonym("acme", ALICE)
    server.stop()
    for _ in range(3):
        assert not await keys.refresh()
        await replica.heed()
    assert await replica.mailbox.unanswered() == ()
    assert [line.levelname for line in caplog.records if "out of reach" in line.message] == ["WARNING"]
    assert keys.find(digest_of(key.text)) == Grant(key.key_id, "acme")
    assert await keys.pseudonym("acme", ALICE) == known
    with pytest.raises(Refused) as caught:
        await keys.pseudonym("acme", BOB)
    assert (caught.value.told.status, caught.value.told.code) == (503, "keys_unavailable")
    with pytest.raises(StoreRefused):
        await keys.create("acme")
    server.start()
    assert await keys.refresh(), "what answers may be another server"
    assert not await keys.refresh()
    assert await keys.pseudonym("acme", BOB) not in (known, None)
    assert await keys.pseudonym("acme", ALICE) == known
    assert ALICE not in caplog.text


# ── persons ───────────────────────────────────────────────────────────────────────────────────────────


async def test_two_crowds_that_meet_at_once_from_either_end_are_the_same_persons(join, database):
    here, there = await join(), await join()
    users = [f"person-{number}" for number in range(400)]
    ours, theirs = await asyncio.gather(
        asyncio.gather(*(here.keys.pseudonym("acme", user) for user in users)),
        asyncio.gather(*(there.keys.pseudonym("acme", user) for user in reversed(users))),
    )
    assert ours == theirs[::-1]
    assert len(set(ours)) == 400
    assert await query(database, "SELECT count(*) FROM subjects") == [(400,)]


async def test_who_is_not_waited_for_remembers_nobody(database, monkeypatch):
    async with open_keys(database, clock=StillClock()) as keys:
        first = await keys.pseudonym("acme", ALICE)
        assert not keys.subjects._known
        await query(database, "DELETE FROM subjects")
        assert await keys.pseudonym("acme", ALICE) != first


async def test_a_lease_runs_out_before_the_server_gives_it_up_and_is_renewed_in_time(join, database):
    replica = await join()
    pseudonym = await replica.keys.pseudonym("acme", ALICE)
    await query(database, "DELETE FROM subjects")
    replica.clock.now_us += int(RENEW_S * 1e6)
    [(before,)] = await query(database, "SELECT seen_at FROM readers")
    await replica.heed()
    [(after,)] = await query(database, "SELECT seen_at FROM readers")
    assert after > before
    replica.clock.now_us += int(LEASE_S * 1e6) - 1
    assert await replica.keys.pseudonym("acme", ALICE) == pseudonym
    replica.clock.now_us += 1
    assert await replica.keys.pseudonym("acme", ALICE) != pseudonym
    assert replica.memory.forgotten == ["all"]


async def test_a_reader_that_comes_back_from_silence_begins_anew(join, database):
    replica = await join()
    pseudonym = await replica.keys.pseudonym("acme", ALICE)
    await silent(database)
    async with open_keys(database, clock=StillClock()) as keys:
        assert await keys.mailbox.post_erasure(act("erase_1"), "acme", ALICE)
        [letter] = await keys.mailbox.unanswered()
        await keys.mailbox.settle(letter, Office(Ledger(), keys, ()).carry_out)
        assert await keys.mailbox.answer_to("erase_1") == {}
    replica.clock.now_us += int(RENEW_S * 1e6)
    await replica.heed()
    assert replica.memory.forgotten == ["all", "all"]
    assert await replica.keys.pseudonym("acme", ALICE) != pseudonym


async def test_what_was_looked_up_before_a_reader_began_anew_is_looked_up_again(join, database, monkeypatch):
    replica = await join()
    register = replica.keys.subjects._register
    look_up, asked = register.keys_of, []

    def meanwhile_everything_changed(digests):
        found = look_up(digests)
        asked.append(found)
        if len(asked) == 1:
            asyncio.run_coroutine_threadsafe(rejoin(), loop).result()
        return found

    async def rejoin():
        await query(database, "DELETE FROM subjects")
        await silent(database)
        replica.clock.now_us += int(RENEW_S * 1e6)
        await replica.heed()

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(register, "keys_of", meanwhile_everything_changed)
    pseudonym = await replica.keys.pseudonym("acme", ALICE)
    first, second = ({pseudonym_of(key) for key in found.values()} for found in asked)
    assert (pseudonym in first, pseudonym in second) == (False, True)


# ── letters ───────────────────────────────────────────────────────────────────────────────────────────


async def test_an_erasure_is_answered_once_and_only_when_every_live_reader_has_let_go(join, steward):
    here, there = await join(), await join()
    alice = await here.keys.pseudonym("acme", ALICE)
    assert await there.keys.pseudonym("acme", ALICE) == alice
    assert await here.mailbox.attended()
    assert await here.mailbox.post_erasure(act("erase_1"), "acme", ALICE)
    assert not await here.mailbox.post_erasure(act("erase_2"), "acme", ALICE)
    await here.heed()
    await asyncio.gather(here.answer(), there.answer())
    assert steward.told == []
    assert await here.mailbox.answer_to("erase_1") is None
    await there.heed()
    await asyncio.gather(here.answer(), there.answer())
    await asyncio.gather(here.answer(), there.answer())
    assert steward.told == [("erase_1", "acme")]
    assert await here.mailbox.answer_to("erase_1") == {}
    assert {("acme", alice)} == set(here.memory.forgotten[1:]) == set(there.memory.forgotten[1:])
    again = await here.keys.pseudonym("acme", ALICE)
    assert again == await there.keys.pseudonym("acme", ALICE) != alice


async def test_a_dead_reader_is_not_waited_for_and_one_that_left_is_not_either(join, database, steward):
    dead, leaving, here = await join(), await join(), await join()
    await here.keys.pseudonym("acme", ALICE)
    await leaving.keys.reader.leave()
    assert await here.mailbox.post_erasure(act("erase_1"), "acme", ALICE)
    await here.heed()
    await here.answer()
    assert steward.told == []
    await query(
        database,
        "UPDATE readers SET seen_at = seen_at - interval '1 minute' WHERE id = $1",
        dead.keys.reader.era,
    )
    await here.answer()
    assert steward.told == [("erase_1", "acme")]
    assert len(await query(database, "SELECT FROM readers")) == 1


async def test_without_a_proxy_whoever_asks_carries_it_out(database, steward):
    async with open_keys(database, clock=StillClock()) as keys:
        asking = Replica(keys, StillClock(), steward)
        await keys.pseudonym("acme", ALICE)
        assert not await keys.mailbox.attended()
        assert await keys.mailbox.post_erasure(act("erase_1"), "acme", ALICE)
        await asking.answer()
        assert await keys.mailbox.answer_to("erase_1") == {}
        await keys.mailbox.take("erase_1")
    assert steward.told == [("erase_1", "acme")]
    assert await query(database, "SELECT id FROM letters UNION ALL SELECT letter FROM marks") == []


async def test_other_acts_wait_for_nobody_and_are_carried_out_by_one(join, steward):
    here, there = await join(), await join()
    await here.mailbox.post(Letter(act("prune_1"), "prune", {"before_us": 5}))
    await here.mailbox.post(Letter(act("reset_1"), "reset", {"scope": "s"}))
    letters = await asyncio.gather(here.mailbox.unanswered(), there.mailbox.unanswered())
    assert letters[0] == letters[1] != ()
    await asyncio.gather(
        *(
            each.mailbox.settle(letter, each.office.carry_out)
            for each in (here, there)
            for letter in letters[0]
        )
    )
    assert sorted(steward.told) == [("prune_1", 5), ("reset_1", "s")]
    assert await there.mailbox.answer_to("prune_1") == {"rows": 7}
    await here.mailbox.clear(act("x").at_us + 1)
    assert await there.mailbox.answer_to("prune_1") == {}


async def test_an_act_whose_replica_died_in_the_midst_is_carried_out_by_another(join, steward):
    here, there = await join(), await join()
    await here.mailbox.post(Letter(act("prune_1"), "prune", {"before_us": 5}))
    [letter] = await here.mailbox.unanswered()

    async def dies(_letter):
        await there.answer()
        assert steward.told == [], "it was held by the other"
        raise ConnectionResetError

    await here.mailbox.settle(letter, dies)
    await there.answer()
    assert steward.told == [("prune_1", 5)]


# ── the bytes ─────────────────────────────────────────────────────────────────────────────────────────


def traces(server, *needles):
    """Files of the server's tables in which one of these can be found."""
    files = [path for path in (server.folder / "data" / "base").rglob("*") if path.is_file()]
    assert len(files) > 200
    return [(path.name, each) for path in files for each in needles if each in path.read_bytes()]


async def test_of_an_erased_person_no_table_holds_a_byte_even_while_an_old_reader_looks_on(
    postgres, join, database
):
    replica = await join()
    alice, bob = [await replica.keys.pseudonym("acme", user) for user in (ALICE, BOB)]
    for number in range(200):
        await replica.keys.pseudonym("acme", f"person-{number}")
    found = {
        pseudonym_of(key): (digest, key)
        for digest, key in await query(database, "SELECT digest, key FROM subjects")
    }
    await query(database, "ANALYZE")
    await query(database, "CHECKPOINT")
    gone, kept = found[alice], found[bob]
    assert {each for _, each in traces(postgres, *gone, *kept)} == {*gone, *kept}
    onlooker = await asyncpg.connect(database.url)
    async with onlooker.transaction(isolation="repeatable_read"):
        await onlooker.fetch("SELECT 1 FROM pg_class")
        assert await replica.mailbox.post_erasure(act("erase_1"), "acme", ALICE)
        await query(database, "CHECKPOINT")
        await replica.heed()
        await replica.answer()
        assert await replica.mailbox.answer_to("erase_1") == {}
        await query(database, "ANALYZE")
        await query(database, "CHECKPOINT")
        needles = (*gone, alice.encode(), ALICE.encode(), BOB.encode())
        assert traces(postgres, *needles) == []
        assert {each for _, each in traces(postgres, *kept)} == {*kept}
    await onlooker.close()
    assert await replica.keys.pseudonym("acme", BOB) == bob


async def test_an_erasure_that_cannot_have_the_tables_is_tried_again(join, database, steward, caplog):
    replica = await join()
    await replica.keys.pseudonym("acme", ALICE)
    assert await replica.mailbox.post_erasure(act("erase_1"), "acme", ALICE)
    await replica.heed()
    dump = await connect(database, KEYS)
    async with dump.transaction():
        await dump.fetch("SELECT FROM subjects")
        await replica.answer()
        assert "a letter cannot be answered now" in caplog.text
        assert await replica.mailbox.answer_to("erase_1") is None
    await dump.close()
    await replica.answer()
    assert await replica.mailbox.answer_to("erase_1") == {}
    assert steward.told == [("erase_1", "acme")], "its row is written before the answer, and once"
