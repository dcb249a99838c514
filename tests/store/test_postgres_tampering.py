"""L8 over PostgreSQL: a superuser may do anything to the tables; whoever holds one earlier head sees it."""

import asyncio
from dataclasses import dataclass

import pytest

from proxy.place import Database
from proxy.store import StoreRefused, replay
from proxy.store.chain import COLUMNS, SEGMENT_ROWS, Link
from proxy.store.seal import Seal
from proxy.store.verify import verify
from tests.kit.second import address, second_verifier
from tests.store import attacker
from tests.store.making import act, charge, claim, hold, settlement
from tests.store.stores import PostgresStore, beside

SECOND = second_verifier()
SEAL = Seal(b"k" * 32)
KINDS = ("reserve", "move", "commit", "release", "expire", "alert", "erase", "reset")
LAST = "SELECT kind, max(seq) FROM rows WHERE seq < 950 OR kind IN ('alert', 'expire') GROUP BY kind"


@dataclass(frozen=True)
class Kept:
    """A ledger with every kind of row, a copy of the day before, and the head that was kept elsewhere."""

    store: PostgresStore
    yesterday: PostgresStore
    head: Link
    seqs: dict[str, int]


async def work(store, first, count):
    async with store.open(seal=SEAL) as ledger:

        async def call(number):
            await ledger.reserve(hold(f"c{number}", claim(10, 5000)))
            await ledger.commit(settlement(f"c{number}", charge(8)))

        await asyncio.gather(*map(call, range(first, first + count)))
        await ledger.reserve(hold(f"moved{first}", claim(10, 5000)))
        await ledger.move(f"moved{first}", (claim(5, 5000, scope="upstream=vllm/tokens/day"),))
        await ledger.release(settlement(f"moved{first}"))
        await ledger.erased(act(f"erase_{first}"), "acme")
        await ledger.reserve(hold(f"other{first}", claim(10, 5000, scope="other")))
        await ledger.commit(settlement(f"other{first}", charge(8, scope="other")))
        await ledger.reset(act(f"reset_{first}"), "other")
        await ledger.reserve(hold(f"left{first}", claim(10, 5000)))


@pytest.fixture(scope="module")
def kept(postgres):
    store = PostgresStore(postgres.database())
    asyncio.run(work(store, 0, 450))
    yesterday = store.copied(postgres)
    asyncio.run(work(store, 450, 100))
    assert verify(store.place, public_key=SEAL.public_key).faults == ()
    [(seq, own)] = store.query("SELECT seq, hash FROM state")
    seqs = dict(store.query(LAST))
    assert set(seqs) == set(KINDS)
    assert seq > SEGMENT_ROWS
    return Kept(store, yesterday, Link(seq, own), seqs)


@pytest.fixture
def stolen(kept, postgres):
    """A copy without its heads: one head that was kept elsewhere must do."""
    store = kept.store.copied(postgres)
    with attacker.breaking_in(store.place) as connection:
        connection.execute("DELETE FROM heads")
    return store


def judged(store, head=None):
    """Whether each of the verifiers finds it whole."""
    first = beside(lambda: verify(store.place, anchored=head)).faults
    given = (head.seq, head.hash.hex()) if head else None
    return not first, not beside(lambda: SECOND.verify(address(store.place), given))


def test_what_nobody_touched_is_whole(kept, stolen):
    assert judged(stolen, kept.head) == (True, True)
    assert judged(kept.store, kept.head) == (True, True)


@pytest.mark.parametrize("column", [*COLUMNS, "prev", "hash"])
def test_one_change_in_any_column_of_a_row_is_seen(kept, stolen, column):
    """In a row of a call, in one that is nobody's, and in the last: all kinds are tried on SQLite."""
    with attacker.breaking_in(stolen.place) as connection:
        attacker.loosened(connection)
    for kind, seq in (
        *((kind, kept.seqs[kind]) for kind in ("commit", "reset")),
        ("the last", kept.head.seq),
    ):
        with attacker.breaking_in(stolen.place) as connection:
            undo = attacker.flip(connection, column, seq)
        assert judged(stolen, kept.head) == (False, False), kind
        with attacker.breaking_in(stolen.place) as connection:
            connection.execute(*undo)
    assert judged(stolen, kept.head) == (True, True)


def deleted(connection, seqs):
    attacker.delete(connection, seqs["alert"])


def deleted_and_renumbered(connection, seqs):
    attacker.delete(connection, seqs["alert"])
    attacker.shift(connection, seqs["alert"], -1)


def first_deleted(connection, seqs):
    attacker.delete(connection, 1)


def inserted(connection, seqs):
    attacker.insert(connection, seqs["alert"])


def swapped(connection, seqs):
    attacker.swap(connection, seqs["reserve"] - 1)


def truncated(connection, seqs):
    connection.execute("TRUNCATE rows, open_calls")


def root_changed(connection, seqs):
    connection.execute("UPDATE segments SET root = ?", (bytes(32),))


def root_deleted(connection, seqs):
    connection.execute("DELETE FROM segments")


def root_added(connection, seqs):
    connection.execute("INSERT INTO segments VALUES (2, ?)", (bytes(32),))


def end_moved(connection, seqs):
    connection.execute("UPDATE state SET seq = seq - 1")


def end_rewritten(connection, seqs):
    connection.execute("UPDATE state SET hash = ?", (bytes(32),))


def last_row_cut(connection, seqs):
    """A tail that `state` still tells of; nobody has it open, and no counter had it."""
    connection.execute("DELETE FROM rows WHERE seq = (SELECT max(seq) FROM rows)")


PLAIN = (
    *(deleted, deleted_and_renumbered, first_deleted, inserted, swapped, truncated),
    *(root_changed, root_deleted, root_added, end_moved, end_rewritten, last_row_cut),
)


@pytest.mark.parametrize("change", PLAIN, ids=lambda change: change.__name__)
def test_rows_and_roots_that_come_go_or_change_places_are_seen(kept, stolen, change):
    with attacker.breaking_in(stolen.place) as connection:
        change(connection, kept.seqs)
    assert judged(stolen) == (False, False), "the chain alone shows it"
    assert judged(stolen, kept.head) == (False, False)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE balances SET used = used - 1 WHERE used > 0",
        "UPDATE balances SET held = held + 1 WHERE held > 0",
        "DELETE FROM balances",
        "DELETE FROM open_calls",
        "UPDATE open_calls SET epoch = 1",
        "UPDATE open_calls SET claims = '[]'",
        "DELETE FROM alerts WHERE mark = 75",
        "UPDATE state SET epoch = 0",
    ],
)
def test_a_working_table_that_is_not_what_the_rows_come_to_is_seen(stolen, change):
    with attacker.breaking_in(stolen.place) as connection:
        connection.execute(change)
    assert judged(stolen) == (False, False)
    assert replay.check(stolen.place) != ()


def rewritten(connection, kept):
    """One row cheaper, and all after it hashed anew."""
    connection.execute("UPDATE rows SET nano_usd = 0 WHERE seq = ?", (kept.seqs["commit"],))
    attacker.rehash(connection)


def call_removed(connection, kept):
    rows = "SELECT seq FROM rows WHERE call_id = 'c7' AND kind <> 'alert' ORDER BY seq DESC"
    for (seq,) in connection.execute(rows):
        attacker.delete(connection, seq)
        attacker.shift(connection, seq, -1)
    attacker.rehash(connection)


def tail_cut(connection, kept):
    connection.execute("DELETE FROM rows WHERE seq > ?", (kept.head.seq - 3,))


def last_segment_cut(connection, kept):
    connection.execute("DELETE FROM rows WHERE seq >= ?", (SEGMENT_ROWS,))
    connection.execute("DELETE FROM segments")


THOROUGH = (rewritten, call_removed, tail_cut, last_segment_cut)


def mended(store, kept, change):
    """Change it, and put everything right again that a superuser can reach."""
    with attacker.breaking_in(store.place) as connection:
        change(connection, kept)
        attacker.mend(connection)
        connection.execute(
            "UPDATE state SET (seq, hash) = (SELECT r.seq, r.hash FROM rows AS r ORDER BY r.seq DESC LIMIT 1)"
        )


def with_heads_of(store, kept):
    lines = kept.store.query("SELECT size, line FROM heads")
    with attacker.breaking_in(store.place) as connection:
        connection.execute("DELETE FROM heads")
        for line in lines:
            connection.execute("INSERT INTO heads VALUES (?, ?)", line)


@pytest.mark.parametrize("change", THOROUGH, ids=lambda change: change.__name__)
async def test_a_forgery_that_is_whole_in_itself_is_seen_by_one_head(kept, stolen, change):
    mended(stolen, kept, change)
    assert judged(stolen) == (True, True), "whole in itself, or the test proves nothing"
    assert judged(stolen, kept.head) == (False, False)
    with_heads_of(stolen, kept)
    assert judged(stolen) == (False, False), "the heads kept with it show it as well"
    problem = "rewritten at or before row" if change is rewritten else "rolled back or cut short: it ends at"
    told = await refused(stolen)
    assert problem in told
    assert "to go on with it knowingly, empty the table fallthrough.heads" in told


async def test_yesterday_s_tables_put_back_are_seen_by_one_head(kept, postgres):
    stolen = kept.yesterday.copied(postgres)
    assert judged(stolen) == (True, True)
    assert judged(stolen, kept.head) == (False, False)
    with_heads_of(stolen, kept)
    assert judged(stolen) == (False, False)
    assert "rolled back or cut short: it ends at" in await refused(stolen)


async def refused(store):
    with pytest.raises(StoreRefused) as caught:
        async with store.open(seal=SEAL):
            pass
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM rows WHERE seq = (SELECT seq FROM state)",
        "UPDATE state SET hash = sha256('')",
    ],
)
async def test_a_start_refuses_rows_that_do_not_end_where_the_next_would_be_appended(kept, postgres, change):
    stolen = kept.store.copied(postgres)
    with attacker.breaking_in(stolen.place) as connection:
        connection.execute(change)
    assert "which is kept as its end" in await refused(stolen)


AUDITOR = (
    "CREATE ROLE auditor LOGIN",
    "GRANT USAGE ON SCHEMA fallthrough TO auditor",
    "GRANT SELECT ON ALL TABLES IN SCHEMA fallthrough TO auditor",
)


def test_who_may_only_read_can_verify_with_either(stolen):
    with attacker.breaking_in(stolen.place) as connection:
        for statement in AUDITOR:
            connection.execute(statement)
    url = address(stolen.place).replace("postgres@", "auditor@")
    assert SECOND.verify(url) == []
    assert verify(Database(url)).faults == ()


def test_the_second_verifier_says_what_it_cannot_read(kept, database, monkeypatch):
    assert SECOND.verify(address(database)) == ["there is no ledger in this database"]
    nobody = address(database).replace("?", "_nobody?")
    assert SECOND.verify(nobody)[0].startswith("unreadable: InvalidCatalogNameError")
    monkeypatch.setattr(SECOND, "asyncpg", None)
    told = SECOND.verify(address(kept.store.place))
    assert told == ["to read a database, install the package `asyncpg`"]
