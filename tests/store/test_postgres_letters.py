"""Letters in PostgreSQL: an erasure reaches every replica that remembers, and leaves no byte in a table."""

import asyncio

import asyncpg

from proxy.ports import Letter
from proxy.store import open_keys
from proxy.store.postgres.database import KEYS, connect
from proxy.store.subjects import pseudonym_of
from tests.store.making import StillClock, act
from tests.store.replicas import ALICE, BOB, SUBJECTS, Replica, query

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
    await leaving.keys.lease.leave()
    assert await here.mailbox.post_erasure(act("erase_1"), "acme", ALICE)
    await here.heed()
    await here.answer()
    assert steward.told == []
    await query(
        database,
        "UPDATE readers SET seen_at = seen_at - interval '1 minute' WHERE id = $1",
        dead.keys.lease.era,
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
    return [(name, each) for each in needles for name in server.files_with(each)]


async def test_of_an_erased_person_no_table_holds_a_byte_even_while_an_old_reader_looks_on(
    postgres, join, database
):
    replica = await join()
    alice, bob = [await replica.keys.pseudonym("acme", user) for user in (ALICE, BOB)]
    for number in range(200):
        await replica.keys.pseudonym("acme", f"person-{number}")
    found = {pseudonym_of(key): (digest, key) for digest, key in await query(database, SUBJECTS)}
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
