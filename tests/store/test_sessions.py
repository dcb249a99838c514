"""Which conversation a call belongs to: in every row of it, under the chain, over every store."""

from contextlib import closing

import apsw
from msgspec.structs import replace

from proxy.store import report, verify
from tests.kit.second import address, second_verifier
from tests.store.making import ACME, charge, claim, hold, settlement
from tests.store.stores import SqliteStore, beside

TALK = replace(ACME, session="talk-pseudonym")


def held(call_id, identity):
    return replace(hold(call_id, claim(10)), identity=identity)


def settled(call_id, identity):
    told = settlement(call_id, charge(8))
    return replace(told, outcome=replace(told.outcome, identity=identity))


async def test_a_session_stands_in_the_rows_of_its_calls_and_in_no_other(store):
    async with store.open() as ledger:
        for call_id, identity in (("c1", TALK), ("c2", ACME)):
            await ledger.reserve(held(call_id, identity))
            await ledger.commit(settled(call_id, identity))
        await ledger.reserve(held("c3", TALK))
        await ledger.release(settled("c3", TALK))
    assert store.query("SELECT call_id, kind, session_pseudonym FROM rows ORDER BY seq") == [
        ("c1", "reserve", "talk-pseudonym"),
        ("c1", "commit", "talk-pseudonym"),
        ("c2", "reserve", None),
        ("c2", "commit", None),
        ("c3", "reserve", "talk-pseudonym"),
        ("c3", "release", "talk-pseudonym"),
    ]
    told = beside(lambda: report.last_calls(store.place, 3))
    assert [each.session_pseudonym for each in told] == ["talk-pseudonym", None, "talk-pseudonym"]


async def test_a_call_that_a_dead_process_left_open_keeps_its_session(store):
    async with store.open() as ledger:
        await ledger.reserve(held("c1", TALK))
    async with store.open():
        pass
    query = "SELECT user_pseudonym, session_pseudonym, model FROM rows WHERE kind = 'expire'"
    assert store.query(query) == [(TALK.user, TALK.session, "gpt-4o")]


async def test_both_verifiers_hold_a_session_to_its_hash(store):
    async with store.open() as ledger:
        for call_id, identity in (("c1", TALK), ("c2", ACME)):
            await ledger.reserve(held(call_id, identity))
            await ledger.commit(settled(call_id, identity))
    assert beside(lambda: verify.verify(store.place)).faults == ()
    assert beside(lambda: second_verifier().verify(address(store.place))) == []


async def test_a_ledger_from_before_sessions_is_brought_up_to_date_and_keeps_its_hashes(tmp_path):
    store = SqliteStore(tmp_path)
    async with store.open() as ledger:
        await ledger.reserve(held("c1", ACME))
        await ledger.commit(settled("c1", ACME))
    with closing(apsw.Connection(str(store.place))) as older:
        older.execute("ALTER TABLE rows DROP COLUMN session_pseudonym; PRAGMA user_version = 3")
    async with store.open() as ledger:
        await ledger.reserve(held("c2", TALK))
        await ledger.commit(settled("c2", TALK))
    assert (
        store.query("SELECT session_pseudonym FROM rows ORDER BY seq")
        == [(None,)] * 2 + [(TALK.session,)] * 2
    )
    assert verify.verify(store.place).faults == ()
    assert second_verifier().verify(address(store.place)) == []
