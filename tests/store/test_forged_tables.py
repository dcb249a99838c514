"""What no row tells of is believed by nobody: each table that people or programs read, forged in turn."""

import asyncio

import orjson
import pytest

from proxy.ports import Declined
from proxy.store import StoreRefused, replay, report
from proxy.store.anchor import Cadence
from proxy.store.chain import SEGMENT_ROWS
from proxy.store.export import Export, Wanted
from proxy.store.pace import Pace
from proxy.store.seal import Seal
from proxy.store.stub import STUB as STUB_NOW
from proxy.store.stub import Stub, past_digest
from proxy.store.verify import verify
from proxy.store.view import View
from tests.kit.second import address, second_verifier
from tests.store import attacker
from tests.store.making import ACME, DAY, WALL_US, act, charge, claim, hold, settlement
from tests.store.stores import PostgresStore, SqliteStore, beside

SECOND, EXPORTS = second_verifier(), second_verifier("verify_export")
SEAL = Seal(b"k" * 32)
PACE = Pace(heads=Cadence(rows=100))
DAY_US = 86_400_000_000
CALLS = 600
ZEROS = bytes(32)


async def called(ledger, day):
    names = [f"{day}{number}" for number in range(CALLS)]
    await asyncio.gather(*(ledger.reserve(hold(name, claim(10, 10**6))) for name in names))
    await asyncio.gather(*(ledger.commit(settlement(name, charge(8))) for name in names))


async def lived(store):
    async with store.open(PACE, seal=SEAL) as ledger:
        await called(ledger, "first")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def grown(request, tmp_path_factory):
    if request.param == "sqlite":
        store = SqliteStore(tmp_path_factory.mktemp("grown"))
    else:
        store = PostgresStore(request.getfixturevalue("postgres").database())
    asyncio.run(lived(store))
    return store


@pytest.fixture
def store(grown, request, tmp_path):
    if isinstance(grown, PostgresStore):
        return grown.copied(request.getfixturevalue("postgres"))
    return grown.copied(tmp_path)


def usage(calls):
    """A line of `past`: what calls of a day came to, a dollar for each."""
    sums = [calls, calls, 0, 0, 0, 5 * calls, 0, 0, 7 * calls, 0, calls * 10**9]
    return orjson.dumps(["usage", DAY // 86_400, ACME.tenant, "gpt-4o", "vllm", *sums]).decode()


PAST = "INSERT INTO past (what) VALUES (?)"
STUB = "INSERT INTO stub VALUES (?, ?, ?, ?, 0, 0, ?, NULL, NULL)"
REST = attacker.ALL.partition(", ")[2]
ROW = f"INSERT INTO rows (seq, {REST}) SELECT ?, {REST} FROM rows WHERE seq = ?"

FORGED = {
    "a past that was never pruned": (PAST, usage(1000)),
    "a past that takes away": (PAST, usage(-600)),
    "a past that is no list": (PAST, "no list"),
    "an open call of the past": (PAST, '["open","c",1,1,[]]'),
    "a stub": (STUB, 1, SEGMENT_ROWS, ZEROS, ZEROS, ZEROS),
    "a stub beside where one may be": (STUB, 2, SEGMENT_ROWS, ZEROS, ZEROS, ZEROS),
    "a row before the first": (ROW, 0, CALLS + 4),
    "a row long before the first": (ROW, -7, CALLS + 4),
    "a root before the first": ("INSERT INTO segments VALUES (0, ?)", ZEROS),
    "a root long before the first": ("INSERT INTO segments VALUES (-5, ?)", ZEROS),
}
"""Where nothing can stand."""
BALANCE = "INSERT INTO balances VALUES (?, ?, ?, 'tokens', 1, 0, 10, '[]')"
MIRRORED = {
    "a root after the last": ("INSERT INTO segments VALUES (2, ?)", ZEROS),
    "a balance": (BALANCE, "tenant=other/tokens/day", DAY, DAY + 86_400),
    "a balance of another unit": ("UPDATE balances SET unit = 'nano_usd'",),
    "an alert": ("INSERT INTO alerts VALUES ('tenant=acme/tokens/day', ?, 75)", DAY),
    "an open call": ("INSERT INTO open_calls VALUES ('c1', 1, 2, '[]', NULL)",),
}
"""What a replay comes to as well."""


def loosen(store):
    """Take away what a table itself would have against it."""
    with attacker.breaking_in(store.place) as connection:
        if isinstance(store, PostgresStore):
            connection.execute("ALTER TABLE stub DROP CONSTRAINT stub_id_check")
        for index in ("reserved", "resolved", "noted"):
            connection.execute(f"DROP INDEX rows_{index}_once")


def forge(store, sql, *values):
    loosen(store)
    with attacker.breaking_in(store.place) as connection:
        connection.execute(sql, values)


def judged(store, key=None):
    """Whether each of the verifiers finds it whole, and whether the replay alone does."""
    first = beside(lambda: verify(store.place, public_key=key)).faults
    second = beside(lambda: SECOND.verify(address(store.place), None, key and key.raw))
    return not first, not second, not beside(lambda: replay.check(store.place))


def sums(store):
    return beside(lambda: report.sums(store.place))


def test_what_nobody_touched_is_whole(store):
    assert judged(store, SEAL.public_key) == (True, True, True)
    (found,) = sums(store)
    assert (found.calls, found.nano_usd) == (CALLS, 7 * CALLS)


@pytest.mark.parametrize("forged", [*FORGED.values(), *MIRRORED.values()], ids=[*FORGED, *MIRRORED])
def test_what_no_row_tells_of_is_seen_by_every_verifier(store, forged):
    forge(store, *forged)
    assert judged(store) == (False, False, False)
    assert judged(store, SEAL.public_key) == (False, False, False)


@pytest.mark.parametrize("lines", [(usage(1000),), (usage(-600),), ("no list",), (usage(1), usage(1))])
def test_a_past_of_rows_that_were_never_pruned_counts_for_nothing(store, lines):
    before, view = sums(store), View(store.place)
    for line in lines:
        with attacker.breaking_in(store.place) as connection:
            connection.execute(PAST, (line,))
    assert sums(store) == before
    beside(lambda: view.look(WALL_US))
    spent = view.spent(ACME.tenant, (WALL_US, WALL_US + DAY_US))
    assert (spent.calls, spent.nano_usd) == (CALLS, 7 * CALLS)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_pruning_signs_nothing_and_takes_nothing_away(store, forged):
    async with store.open(PACE, seal=SEAL) as ledger:
        forge(store, *forged)
        rows, stubs = store.query("SELECT seq FROM rows"), store.query("SELECT * FROM stub")
        with pytest.raises(Declined, match="nothing was pruned"):
            await ledger.prune(act("prune_1"), WALL_US + DAY_US)
        assert store.query("SELECT seq FROM rows") == rows
        assert store.query("SELECT * FROM stub") == stubs


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_a_start_refuses_what_stands_where_nothing_can(store, forged):
    forge(store, *forged)
    with pytest.raises(StoreRefused, match=r"restore (the newest|a) backup"):
        async with store.open(PACE, seal=SEAL):
            pass


def exported(store):
    told = Export(store.place, Wanted(ACME.tenant), SEAL.public_key)
    lines = beside(lambda: list(told.rows()))
    return lines, told.manifest()


def test_an_export_neither_begins_at_a_stub_that_was_made_up_nor_stumbles_over_a_root(store, tmp_path):
    forge(store, *FORGED["a root before the first"])
    lines, manifest = exported(store)
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(lines) + orjson.dumps({"manifest": manifest}) + b"\n")
    assert beside(lambda: EXPORTS.verify(path, ledger=address(store.place))) == []
    with attacker.breaking_in(store.place) as connection:
        connection.execute(STUB, (1, SEGMENT_ROWS, ZEROS, ZEROS, ZEROS))
    with pytest.raises(StoreRefused, match="the stub is not what the last prune row says of it"):
        exported(store)


async def test_the_reader_of_exports_is_told_what_a_stub_stands_for(store, tmp_path):
    async with store.open(PACE, seal=SEAL) as ledger:
        assert await ledger.prune(act("prune_1"), WALL_US + DAY_US) == SEGMENT_ROWS
    lines, manifest = exported(store)
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(lines) + orjson.dumps({"manifest": manifest}) + b"\n")

    def faults():
        return beside(lambda: EXPORTS.verify(path, key=SEAL.public_key.raw, ledger=address(store.place)))

    assert faults() == []
    with attacker.breaking_in(store.place) as connection:
        connection.execute("UPDATE stub SET at_us = at_us + 1")
    assert faults() == ["ledger: its stub is not signed by this key"]
    assert exported(store)[0] == lines, "who lost a key must not keep people from their rows"
    with attacker.breaking_in(store.place) as connection:
        connection.execute("DELETE FROM stub")
    assert faults() == ["ledger: it does not stand for the rows that the export says were pruned"]


def past_with_digest(connection):
    """A sum made up, and the stub's digest with it, as far as one can who has no key."""
    connection.execute(PAST, (usage(1000),))
    lines = [what for (what,) in connection.execute("SELECT what FROM past ORDER BY line").fetchall()]
    connection.execute("UPDATE stub SET digest = ?", (past_digest(lines),))


def past_with_prune_row(connection):
    """The same, and what the `prune` row says of it."""
    past_with_digest(connection)
    values = connection.execute(STUB_NOW).fetchone()
    connection.execute("UPDATE rows SET entries = ? WHERE kind = 'prune'", (Stub(*values).entries(),))


def past_alone(connection):
    connection.execute(PAST, (usage(1000),))


def stub_moved(connection):
    connection.execute("UPDATE stub SET before_us = before_us + 1")


def stub_unsigned(connection):
    connection.execute("UPDATE stub SET signature = NULL")


def second_stub(connection):
    connection.execute(STUB, (2, 2 * SEGMENT_ROWS, ZEROS, ZEROS, ZEROS))


def old_root(connection):
    connection.execute("UPDATE segments SET root = ? WHERE number = 1", (ZEROS,))


def old_root_with_stub(connection):
    old_root(connection)
    connection.execute("UPDATE stub SET root = ?", (ZEROS,))


TAMPERED = (
    *(past_with_digest, past_with_prune_row, past_alone, stub_moved, stub_unsigned, second_stub),
    *(old_root, old_root_with_stub),
)


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda tamper: tamper.__name__)
async def test_what_was_kept_of_pruned_rows_is_not_signed_anew_once_it_was_changed(store, tamper):
    async with store.open(PACE, seal=SEAL) as ledger:
        assert await ledger.prune(act("prune_1"), WALL_US + DAY_US) == SEGMENT_ROWS
        await called(ledger, "later")
    loosen(store)
    async with store.open(PACE, seal=SEAL) as ledger:
        with attacker.breaking_in(store.place) as connection:
            tamper(connection)
        stubs, past = store.query("SELECT * FROM stub"), store.query("SELECT * FROM past")
        with pytest.raises(Declined, match="nothing was pruned"):
            await ledger.prune(act("prune_2"), WALL_US + DAY_US)
        assert (store.query("SELECT * FROM stub"), store.query("SELECT * FROM past")) == (stubs, past)
    assert judged(store, SEAL.public_key)[:2] == (False, False)


async def test_rows_that_the_newest_head_does_not_know_are_not_signed_for(store):
    """Hashed anew from the first, with roots and sums to match: only the head contradicts."""
    async with store.open(PACE, seal=SEAL) as ledger:
        with attacker.breaking_in(store.place) as connection:
            connection.execute("UPDATE rows SET nano_usd = 0 WHERE kind = 'commit'")
            attacker.rehash(connection)
        with pytest.raises(Declined, match="roots are not those of its newest head"):
            await ledger.prune(act("prune_1"), WALL_US + DAY_US)
        assert store.query("SELECT * FROM stub") == []
