"""L8: whoever holds one earlier head sees every change to the file; two verifiers see it alike."""

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from proxy.store import StoreRefused, replay
from proxy.store.chain import COLUMNS, SEGMENT_ROWS, Link
from proxy.store.heads import heads_path
from proxy.store.seal import Seal
from proxy.store.sqlite.database import open_file_to_read
from proxy.store.sqlite.tables import last
from proxy.store.verify import Trace, verify
from tests.kit.second import second_verifier
from tests.store import attacker
from tests.store.making import act, charge, claim, hold, settlement
from tests.store.stores import SqliteStore

FLIPS = 200
SEAL = Seal(b"k" * 32)
KINDS = ("reserve", "move", "commit", "release", "expire", "alert", "erase", "reset")


SECOND = second_verifier()


@dataclass(frozen=True)
class Kept:
    """A ledger with every kind of row, a copy of the day before, and the head that was kept elsewhere."""

    path: Path
    yesterday: Path
    head: Link
    seqs: dict[str, int]


async def work(store, first, count):
    async with store.open(seal=SEAL) as ledger:
        for number in range(first, first + count):
            call_id = f"c{number}"
            await ledger.reserve(hold(call_id, claim(10, 5000)))
            await ledger.commit(settlement(call_id, charge(8)))
        await ledger.reserve(hold(f"moved{first}", claim(10, 5000)))
        await ledger.move(f"moved{first}", (claim(5, 5000, scope="upstream=vllm/tokens/day"),))
        await ledger.release(settlement(f"moved{first}"))
        await ledger.erased(act(f"erase_{first}"), "acme")
        await ledger.reserve(hold(f"other{first}", claim(10, 5000, scope="other")))
        await ledger.commit(settlement(f"other{first}", charge(8, scope="other")))
        await ledger.reset(act(f"reset_{first}"), "other")
        await ledger.reserve(hold(f"left{first}", claim(10, 5000)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    store = SqliteStore(tmp_path_factory.mktemp("kept"))
    asyncio.run(work(store, 0, 450))
    yesterday = store.path.with_name("yesterday.db")
    shutil.copy(store.path, yesterday)
    asyncio.run(work(store, 450, 100))
    assert verify(store.path, public_key=SEAL.public_key).faults == ()
    with closing(open_file_to_read(store.path)) as connection:
        head = last(connection)
        middle = (
            "SELECT kind, max(seq) FROM rows WHERE seq < 950 OR kind IN ('alert', 'expire') GROUP BY kind"
        )
        seqs = dict(connection.execute(middle))
    assert set(seqs) == set(KINDS)
    assert head.seq > SEGMENT_ROWS
    return Kept(store.path, yesterday, head, seqs)


@pytest.fixture
def stolen(kept, tmp_path):
    """A copy without its heads file: one head that was kept elsewhere must do."""
    return Path(shutil.copy(kept.path, tmp_path / "ledger.db"))


def judged(path, head):
    """Whether each of the verifiers finds it whole."""
    try:
        first = verify(path, anchored=head).faults
    except StoreRefused as error:
        first = (str(error),)
    return not first, not SECOND.verify(path, (head.seq, head.hash.hex()) if head else None)


def test_what_nobody_touched_is_whole(kept, stolen):
    assert judged(stolen, kept.head) == (True, True)
    assert judged(kept.path, kept.head) == (True, True)


def test_a_hundred_faults_are_told_and_the_others_counted():
    trace = Trace((), None, None)
    for number in range(103):
        trace.fault(f"fault {number}")
    assert (len(trace.faults), trace.faults[-1], trace.more) == (100, "fault 99", 3)


@pytest.mark.parametrize("column", [*COLUMNS, "prev", "hash"])
def test_one_change_in_any_column_of_any_kind_of_row_is_seen(kept, tmp_path, column):
    for kind, seq in (*kept.seqs.items(), ("the last", kept.head.seq)):
        path = shutil.copy(kept.path, tmp_path / f"{kind}.db")
        with attacker.breaking_in(path) as connection:
            attacker.flip(connection, column, seq)
        assert judged(Path(path), kept.head) == (False, False), kind


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


def root_changed(connection, seqs):
    connection.execute("UPDATE segments SET root = zeroblob(32)")


def root_deleted(connection, seqs):
    connection.execute("DELETE FROM segments")


def root_added(connection, seqs):
    connection.execute("INSERT INTO segments VALUES (2, zeroblob(32))")


PLAIN = (
    *(deleted, deleted_and_renumbered, first_deleted, inserted, swapped),
    *(root_changed, root_deleted, root_added),
)


@pytest.mark.parametrize("change", PLAIN, ids=lambda change: change.__name__)
def test_rows_and_roots_that_come_go_or_change_places_are_seen(kept, stolen, change):
    with attacker.breaking_in(stolen) as connection:
        change(connection, kept.seqs)
    assert judged(stolen, None) == (False, False), "the chain alone shows it"
    assert judged(stolen, kept.head) == (False, False)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE balances SET used = used - 1",
        "UPDATE balances SET held = held + 1 WHERE held > 0",
        "DELETE FROM balances",
        "DELETE FROM open_calls",
        "UPDATE open_calls SET epoch = 1",
        "UPDATE open_calls SET claims = '[]'",
        "DELETE FROM alerts WHERE mark = 75",
        "UPDATE state SET epoch = 0",
    ],
)
def test_a_working_table_that_is_not_what_the_rows_come_to_is_seen(kept, stolen, change):
    with attacker.breaking_in(stolen) as connection:
        connection.execute(change)
    assert judged(stolen, None) == (False, False)
    assert replay.check(stolen) != ()


def rewritten(path, kept):
    """One row cheaper, and all after it hashed anew."""
    with attacker.breaking_in(path) as connection:
        connection.execute("UPDATE rows SET nano_usd = 0 WHERE seq = ?", (kept.seqs["commit"],))
        attacker.rehash(connection)


def call_removed(path, kept):
    with attacker.breaking_in(path) as connection:
        connection.execute("DELETE FROM rows WHERE call_id = 'c7' AND kind <> 'alert'")
        attacker.shift(connection, 15, -2)
        attacker.rehash(connection)


def tail_cut(path, kept):
    with attacker.breaking_in(path) as connection:
        connection.execute("DELETE FROM rows WHERE seq > ?", (kept.head.seq - 3,))


def last_segment_cut(path, kept):
    with attacker.breaking_in(path) as connection:
        connection.execute("DELETE FROM rows WHERE seq >= ?", (SEGMENT_ROWS,))
        connection.execute("DELETE FROM segments")


def yesterday_put_back(path, kept):
    shutil.copy(kept.yesterday, path)


THOROUGH = (rewritten, call_removed, tail_cut, last_segment_cut, yesterday_put_back)


@pytest.mark.parametrize("change", THOROUGH, ids=lambda change: change.__name__)
def test_a_forgery_that_is_whole_in_itself_is_seen_by_one_head(kept, stolen, change):
    change(stolen, kept)
    with attacker.breaking_in(stolen) as connection:
        attacker.mend(connection)
    assert judged(stolen, None) == (True, True), "whole in itself, or the test proves nothing"
    assert judged(stolen, kept.head) == (False, False)
    shutil.copy(heads_path(kept.path), heads_path(stolen))
    assert judged(stolen, None) == (False, False), "the heads file shows it as well"


async def refused(path):
    with pytest.raises(StoreRefused) as caught:
        async with SqliteStore(path.parent).open(seal=SEAL):
            pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (rewritten, "it was rewritten at or before row"),
        (call_removed, "it was rolled back or cut short: it ends at row"),
        (tail_cut, "it was rolled back or cut short: it ends at row"),
        (last_segment_cut, "it was rolled back or cut short: it ends at row"),
        (yesterday_put_back, "it was rolled back or cut short: it ends at row"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_start_refuses_what_its_last_head_does_not_fit(kept, stolen, change, problem):
    change(stolen, kept)
    with attacker.breaking_in(stolen) as connection:
        attacker.mend(connection)
    shutil.copy(heads_path(kept.path), heads_path(stolen))
    before = stolen.read_bytes()
    told = await refused(stolen)
    assert problem in told
    assert "restore the newest backup, or, to go on with it knowingly, move ledger.db.heads away" in told
    assert stolen.read_bytes() == before
    heads_path(stolen).unlink()
    async with SqliteStore(stolen.parent).open(seal=SEAL):
        pass


def content(path):
    """Everything in the file that counts."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        sql = (
            f"SELECT {attacker.ALL} FROM rows",
            "SELECT * FROM segments",
            "SELECT scope, used, held FROM balances",
        )
        return [connection.execute(each).fetchall() for each in sql]


def harmless(path, before):
    try:
        return content(path) == before
    except (apsw.Error, UnicodeDecodeError):
        return False


@pytest.mark.fault("d7-bits")
def test_200_random_bits_of_the_file_flipped_are_seen_or_do_no_harm(kept, tmp_path):
    dice, path = random.Random(6), tmp_path / "ledger.db"
    sound, before, seen = kept.path.read_bytes(), content(kept.path), 0
    for _ in range(FLIPS):
        bits = bytearray(sound)
        at = dice.randrange(len(bits))
        bits[at] ^= 1 << dice.randrange(8)
        path.write_bytes(bits)
        first, second = judged(path, kept.head)
        assert first == second, at
        if first:
            assert harmless(path, before), at
        seen += not first
    assert seen > FLIPS // 3


def test_the_second_verifier_reads_what_the_system_s_sqlite_reads():
    assert sqlite3.sqlite_version_info >= (3, 37), "older ones know no STRICT tables"
