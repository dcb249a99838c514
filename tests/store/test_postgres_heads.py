"""Heads over PostgreSQL: told by any replica, kept once, held against by every start, and beside writers."""

import asyncio
import logging

import pytest
from msgspec.structs import replace

from proxy.store import StoreRefused, heads, open_ledger, verify
from proxy.store.anchor import Cadence
from proxy.store.chain import COLUMNS
from proxy.store.heads import Head
from proxy.store.pace import Pace
from proxy.store.seal import Seal
from tests.kit.second import address, second_verifier
from tests.store import attacker
from tests.store.making import StillClock, claim, hold, settlement
from tests.store.stores import PostgresStore

NEVER = 10**9
SEAL, OTHER = Seal(b"k" * 32), Seal(b"o" * 32)


def paced(rows=NEVER, seconds=NEVER):
    return Pace(idle_s=0.001, retry_s=0.001, heads=Cadence(rows, seconds))


@pytest.fixture
def store(database):
    opened = PostgresStore(database)
    yield opened
    assert opened.faults() == ()


def replica(store, pace, clock=None, **options):
    clock = clock or StillClock()
    return open_ledger(store.place, clock=clock, on_alert=store.alerts.append, pace=pace, **options)


def kept(store):
    return [heads.parse(line.encode(), 0) for (line,) in store.query("SELECT line FROM heads ORDER BY size")]


def sizes(store):
    return [head.size for head in kept(store)]


async def until(true):
    while not true():  # noqa: ASYNC110 - the writer is another thread and has no event for tests
        await asyncio.sleep(0)


async def test_a_head_is_told_after_so_many_rows_and_at_the_end(store):
    async with replica(store, paced(rows=10)) as ledger:
        for number in range(25):
            await ledger.reserve(hold(f"c{number}", claim(1)))
    assert sizes(store) == [10, 20, 25]


async def test_rows_of_all_replicas_count_and_whoever_ends_tells_the_last(store):
    async with replica(store, paced(rows=NEVER)) as one:
        async with replica(store, paced(rows=5)) as two:
            for number in range(6):
                await (one, two)[number % 2].reserve(hold(f"c{number}", claim(1)))
            await until(lambda: sizes(store) == [6])
        assert sizes(store) == [6], "there is nothing to tell where no row came"
        await one.reserve(hold("c6", claim(1)))
    assert sizes(store) == [6, 7]
    assert [head.epoch for head in kept(store)] == [2, 1]


async def test_a_head_is_told_after_so_much_time_even_if_nothing_comes(store):
    clock = StillClock()
    async with replica(store, paced(seconds=30), clock) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
        clock.now_us += 29_000_000
        await ledger.reserve(hold("c2", claim(1)))
        assert sizes(store) == []
        clock.now_us += 1_000_000
        await until(lambda: sizes(store) == [2])


async def test_a_head_is_in_the_log_with_all_that_is_in_the_table(store, caplog):
    caplog.set_level(logging.INFO, "proxy.ledger")
    async with replica(store, paced(rows=1), seal=SEAL) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
    [head] = kept(store)
    [line] = [record for record in caplog.records if record.getMessage() == "ledger head"]
    assert Head(*(getattr(line, name) for name in heads.SHAPE)) == head
    assert head.signed_by(SEAL.public_key)


async def refused(store, seal=SEAL):
    with pytest.raises(StoreRefused) as caught:
        async with replica(store, paced(), seal=seal):
            pass
    return str(caught.value)


def told(store, head):
    """Put a line in place of the last head's."""
    with attacker.breaking_in(store.place) as connection:
        connection.execute("UPDATE heads SET line = ?", (heads.dump(head).decode().strip(),))


@pytest.mark.parametrize(
    "change",
    [
        lambda head: replace(head, size=head.size - 1),
        lambda head: replace(head, signature=None),
        lambda head: replace(head, signature="0" * 128),
        lambda head: replace(head, signature=OTHER.sign(head.signed_bytes())),
        lambda head: replace(head, size=True),
    ],
    ids=["changed", "not signed", "signed by nobody", "signed by another", "no number"],
)
async def test_a_head_that_our_key_did_not_sign_is_not_believed(store, change):
    async with replica(store, paced(rows=NEVER), seal=SEAL) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
        await ledger.release(settlement("c1"))
    [sound] = kept(store)
    told(store, change(sound))
    assert "not signed by the key in keys.db" in await refused(store)
    verdict = await asyncio.to_thread(verify.verify, store.place, public_key=SEAL.public_key)
    second = await asyncio.to_thread(
        second_verifier().verify, address(store.place), None, SEAL.public_key.raw
    )
    assert verdict.faults != ()
    assert second != []
    told(store, sound)
    assert "not signed by the key in keys.db" in await refused(store, OTHER)


async def test_a_table_that_takes_no_head_stops_no_call_and_is_tried_again(store, caplog):
    async with replica(store, paced(rows=1)) as ledger:
        with attacker.breaking_in(store.place) as connection:
            connection.execute("ALTER TABLE heads ADD CONSTRAINT no_room CHECK (false) NOT VALID")
        for number in range(5):
            await ledger.reserve(hold(f"c{number}", claim(1)))
        await until(lambda: "head could not be kept" in caplog.text)
        with attacker.breaking_in(store.place) as connection:
            connection.execute("ALTER TABLE heads DROP CONSTRAINT no_room")
        await until(lambda: sizes(store) == [5])
    assert caplog.text.count("could not be kept") == 1


async def test_a_ledger_without_heads_is_taken_but_said_so(store, caplog):
    async with replica(store, paced()) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
        await ledger.release(settlement("c1"))
    with attacker.breaking_in(store.place) as connection:
        connection.execute("DELETE FROM heads")
    async with replica(store, paced()):
        pass
    assert "no head of this ledger is at hand" in caplog.text
    assert "heads begin now, in the table fallthrough.heads" in caplog.text
    assert sizes(store) == [2]


async def test_verifying_beside_two_replicas_that_write_finds_it_whole_each_time(store, monkeypatch):
    monkeypatch.setattr(verify, "SLICE_ROWS", 50)
    second, seconds = second_verifier(), []
    async with (
        replica(store, paced(rows=64), seal=SEAL) as one,
        replica(store, paced(rows=64), seal=SEAL) as two,
    ):

        async def work(ledger, name):
            for number in range(260):
                await ledger.reserve(hold(f"{name}{number}", claim(1, NEVER)))
                await ledger.commit(settlement(f"{name}{number}"))

        working = asyncio.gather(work(one, "a"), work(two, "b"))
        verdicts = []
        while not working.done():
            verdicts.append(await asyncio.to_thread(verify.verify, store.place, public_key=SEAL.public_key))
            words = (address(store.place), None, SEAL.public_key.raw)
            seconds.append(await asyncio.to_thread(second.verify, *words))
        await working
    assert len(verdicts) > 2
    assert [verdict.faults for verdict in verdicts] == [()] * len(verdicts)
    assert seconds == [[]] * len(seconds)
    last = await asyncio.to_thread(verify.verify, store.place, public_key=SEAL.public_key)
    assert (last.rows, last.segments, last.signed) == (1040, 1, True)


async def test_every_column_is_hashed(store):
    """Whoever adds a column adds it to `COLUMNS`, or it can be changed unseen."""
    async with replica(store, paced()):
        pass
    names = store.query(
        "SELECT column_name::text FROM information_schema.columns"
        " WHERE table_schema = 'fallthrough' AND table_name = 'rows' ORDER BY ordinal_position"
    )
    assert sorted(name for (name,) in names) == sorted((*COLUMNS, "prev", "hash"))
