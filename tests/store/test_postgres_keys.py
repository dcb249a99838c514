"""Keys and persons in PostgreSQL: what one replica does, the others know, and a server may go away."""

import asyncio
import signal

import pytest

from proxy.duties.acts import Office
from proxy.errors import Refused
from proxy.ports import Grant
from proxy.store import StoreRefused, open_keys
from proxy.store.callers import digest_of
from proxy.store.keys import exists, find_pseudonym, read_public_key
from proxy.store.postgres import lease
from proxy.store.postgres.lease import LEASE_S, RENEW_S
from proxy.store.subjects import pseudonym_of
from tests.store.making import StillClock, act
from tests.store.replicas import ALICE, BOB, Ledger, query, silent

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
    assert here.keys.seal.public_key == there.keys.seal.public_key
    found = await asyncio.to_thread(read_public_key, database)
    assert found == here.keys.seal.public_key
    pseudonym = await here.keys.pseudonym("acme", ALICE)
    assert await asyncio.to_thread(find_pseudonym, database, "acme", ALICE) == pseudonym
    assert await asyncio.to_thread(find_pseudonym, database, "acme", BOB) is None


async def test_a_database_without_keys_says_so(database):
    assert not await asyncio.to_thread(exists, database)
    assert await asyncio.to_thread(read_public_key, database) is None
    with pytest.raises(StoreRefused, match="PostgreSQL cannot be used"):
        await asyncio.to_thread(find_pseudonym, database, "acme", ALICE)
    async with open_keys(database, clock=StillClock()):
        assert await asyncio.to_thread(exists, database)


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


async def test_a_reader_that_ends_does_not_wait_for_a_server_that_is_silent(
    server, join, monkeypatch, caplog
):
    monkeypatch.setattr(lease, "PARTING_S", 0.05)
    replica = await join(server.database())
    await replica.heed()
    await asyncio.to_thread(server.signal, signal.SIGSTOP)
    try:
        await replica.keys.lease.leave()
    finally:
        await asyncio.to_thread(server.signal, signal.SIGCONT)
    assert replica.keys.lease.era is None
    assert "out of reach" not in caplog.text, "it waited until the server was taken for lost"


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
