"""L10: rows go by whole segments, and what is left can still be proved, by both verifiers; sums stay."""

import asyncio
from contextlib import closing

import apsw
import orjson
import pytest
from msgspec.structs import replace

from proxy.holds import Spent
from proxy.ports import Declined
from proxy.store import StoreRefused, heads, replay, report, retention
from proxy.store.anchor import Cadence
from proxy.store.chain import SEGMENT_ROWS, Link
from proxy.store.export import Export, Wanted
from proxy.store.pace import Pace
from proxy.store.seal import Seal
from proxy.store.stub import STUB, Stub
from proxy.store.verify import verify
from tests.kit.second import address, second_verifier
from tests.store import attacker
from tests.store.making import ACME, DAY, WALL_US, act, charge, claim, hold, settlement
from tests.store.stores import PostgresStore, SqliteStore, beside

SECOND, EXPORTS = second_verifier(), second_verifier("verify_export")
SEAL = Seal(b"k" * 32)
PACE = Pace(heads=Cadence(rows=100))
DAY_S = 86_400
DAY_US = DAY_S * 1_000_000
CALLS = 700
MONTH = "tenant=acme/requests/month"


async def day(ledger, number, calls=CALLS):
    """A day's calls, all at once: each counts in a window of that day and in one that is still open."""
    window, later, at_us = DAY + number * DAY_S, DAY + 90 * DAY_S, WALL_US + number * DAY_US

    async def begun(turn):
        claims = (claim(10, 10**6, window=window), claim(1, 10**6, scope=MONTH, window=later))
        await ledger.reserve(replace(hold(f"d{number}-{turn}", *claims), at_us=at_us + turn))

    async def ended(turn):
        charges = (charge(8, window=window), charge(1, scope=MONTH, window=later))
        told = settlement(f"d{number}-{turn}", *charges)
        await ledger.commit(replace(told, ended_us=at_us + turn + 1))

    await asyncio.gather(*map(begun, range(calls)))
    await asyncio.gather(*map(ended, range(calls)))


async def lived(store):
    """Three days, ninety days apart from a fourth; one call bridges the first segment's end."""
    async with store.open(PACE, seal=SEAL) as ledger:
        await day(ledger, 0, 511)
        bridging = claim(10, 10**6)
        await ledger.reserve(replace(hold("bridge", bridging), at_us=WALL_US))
        await day(ledger, 1)
        await ledger.commit(replace(settlement("bridge", charge(8)), ended_us=WALL_US + DAY_US))
        await day(ledger, 2)
        await day(ledger, 90)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def grown(request, tmp_path_factory):
    if request.param == "sqlite":
        store = SqliteStore(tmp_path_factory.mktemp("grown"))
    else:
        store = PostgresStore(request.getfixturevalue("postgres").database())
    asyncio.run(lived(store))
    assert verify(store.place, public_key=SEAL.public_key).faults == ()
    return store


@pytest.fixture
def copied(grown, request, tmp_path):
    """Makes copies to be pruned."""

    def copy():
        if isinstance(grown, PostgresStore):
            return grown.copied(request.getfixturevalue("postgres"))
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return grown.copied(folder)

    return copy


@pytest.fixture
def store(copied):
    return copied()


in_a_file = pytest.mark.parametrize("grown", ["sqlite"], indirect=True)


async def prune(store, number, name="prune_1"):
    """Whatever is older than a day's beginning."""
    async with store.open(PACE, seal=SEAL) as ledger:
        return await ledger.prune(act(name, WALL_US + 95 * DAY_US), WALL_US + number * DAY_US)


def judged(store, head=None, key=None):
    """Whether each of the verifiers finds it whole."""
    first = verified(store, public_key=key, anchored=head).faults
    given = (head.seq, head.hash.hex()) if head else None
    return not first, not beside(lambda: SECOND.verify(address(store.place), given, key and key.raw))


def verified(store, **given):
    return beside(lambda: verify(store.place, **given))


def sums(store, **narrowed):
    return beside(lambda: report.sums(store.place, **narrowed))


def head_of(store):
    return Link(*store.query("SELECT seq, hash FROM rows ORDER BY seq DESC LIMIT 1")[0])


def without_heads(store):
    if isinstance(store, SqliteStore):
        heads.heads_path(store.path).unlink()
    else:
        changed(store, "DELETE FROM heads")


def changed(store, sql, *values):
    with attacker.breaking_in(store.place) as connection:
        connection.execute(sql, values)


def kept_of_the_past(store):
    return store.query("SELECT what FROM past ORDER BY line")


async def test_whole_segments_of_older_rows_go_and_the_rest_is_proved(store):
    head, rows = head_of(store), store.query("SELECT * FROM rows WHERE seq > ?", 2 * SEGMENT_ROWS)
    assert await prune(store, 2) == 2 * SEGMENT_ROWS
    assert store.query("SELECT min(seq) FROM rows") == [(2 * SEGMENT_ROWS + 1,)]
    assert store.query("SELECT * FROM rows WHERE seq > ? AND seq <= ?", 2 * SEGMENT_ROWS, head.seq) == rows
    assert judged(store) == (True, True)
    assert judged(store, head) == (True, True), "the head kept from before"
    verdict = verified(store, public_key=SEAL.public_key)
    assert (verdict.faults, verdict.pruned, verdict.signed) == ((), 2 * SEGMENT_ROWS, True)
    assert beside(lambda: replay.check(store.place)) == ()
    ((kind, who, call_id),) = store.query(
        "SELECT kind, key_id, call_id FROM rows WHERE kind NOT IN ('reserve', 'commit')"
    )
    assert (kind, who, call_id) == ("prune", "os:operator", "prune_1")


async def test_a_call_that_was_open_where_the_rows_end_is_settled_after_it(store):
    kinds = store.query("SELECT kind FROM rows WHERE call_id = 'bridge' ORDER BY seq")
    assert kinds == [("reserve",), ("commit",)]
    assert await prune(store, 2, "prune_1") == 2 * SEGMENT_ROWS
    lines = [what for (what,) in store.query("SELECT what FROM past") if what.startswith('["open"')]
    assert lines[0].startswith('["open","bridge",1023,')
    assert len(lines) > 100
    assert store.query("SELECT kind FROM rows WHERE call_id = 'bridge'") == [("commit",)]
    assert judged(store) == (True, True)


async def test_it_goes_on_where_it_was_pruned_before_as_if_at_once(store, copied):
    assert await prune(store, 1, "prune_1") == 0, "the first day fills no segment"
    assert await prune(store, 2, "prune_2") == 2 * SEGMENT_ROWS
    assert await prune(store, 2, "prune_3") == 0
    assert await prune(store, 90, "prune_4") == SEGMENT_ROWS
    assert judged(store) == (True, True)
    twice = kept_of_the_past(store)
    once = copied()
    assert await prune(once, 90) == 3 * SEGMENT_ROWS
    assert kept_of_the_past(once) == twice


async def test_usage_and_limits_survive_as_sums(store):
    totals, limits = sums(store), store.query("SELECT * FROM balances WHERE scope = ?", MONTH)
    recent = sums(store, since_us=WALL_US + 90 * DAY_US)
    assert await prune(store, 90) == 3 * SEGMENT_ROWS
    assert sums(store) == totals
    assert sums(store, since_us=WALL_US + 90 * DAY_US) == recent
    assert sums(store, tenant="globex") == ()
    since_second = sums(store, since_us=WALL_US + DAY_US)
    assert since_second[0].calls == 3 * CALLS + 1, "a pruned day counts whole from its beginning on"
    assert store.query("SELECT * FROM balances WHERE scope = ?", MONTH) == limits
    assert store.query("SELECT used FROM balances WHERE window_start = ?", DAY) == [], "long over"
    async with store.open(PACE, seal=SEAL) as ledger:
        await day(ledger, 91, 3)
    assert store.balance(MONTH) == (limits[0][4] + 3, 0)
    assert judged(store) == (True, True)


async def test_marks_that_were_told_are_kept_as_long_as_their_counters(store):
    over, lasting = DAY + 91 * DAY_S, DAY + 200 * DAY_S
    month = "tenant=acme/tokens/month"
    claims = (claim(10, 10, window=over), claim(10, 10, scope=month, window=lasting))
    async with store.open(PACE, seal=SEAL) as ledger:
        await ledger.reserve(replace(hold("loud", *claims), at_us=WALL_US + 91 * DAY_US))
        charges = (charge(10, window=over), charge(10, scope=month, window=lasting))
        await ledger.commit(settlement("loud", *charges))
        await day(ledger, 91)
    assert len(store.alerts) == 6
    assert await prune(store, 150) == 6 * SEGMENT_ROWS
    kept = [orjson.loads(what) for (what,) in kept_of_the_past(store)]
    assert [line for line in kept if line[0] == "alert"] == [
        ["alert", month, lasting, mark] for mark in (75, 90, 100)
    ]
    assert judged(store) == (True, True)
    async with store.open(PACE, seal=SEAL) as ledger:
        assert isinstance(await ledger.reserve(hold("again", claims[1])), Spent)
    assert len(store.alerts) == 6, "each mark is told once"
    assert judged(store) == (True, True)


@in_a_file
async def test_rows_are_gone_from_the_file_and_its_wal(store):
    gone = b"d1-99"
    async with store.open(PACE, seal=SEAL) as ledger:
        assert gone in store.path.read_bytes()
        await ledger.prune(act("prune_1"), WALL_US + 90 * DAY_US)
        await day(ledger, 91, 1)
        found = store.query("SELECT 1 FROM rows WHERE call_id LIKE 'd1-99%'")
    assert found == []
    with closing(apsw.Connection(str(store.path))) as connection:
        connection.execute("VACUUM")
    assert gone not in store.path.read_bytes()


async def test_nothing_goes_that_the_next_start_looks_for_or_that_is_open(store):
    async with store.open(PACE, seal=SEAL) as ledger:
        await ledger.reserve(replace(hold("open", claim(1)), at_us=WALL_US + 91 * DAY_US))
        assert await ledger.prune(act("prune_1"), WALL_US + 1000 * DAY_US) > 0
        assert store.query("SELECT 1 FROM rows WHERE call_id = 'open'") == [(1,)]
    async with store.open(PACE, seal=SEAL):
        pass
    assert judged(store) == (True, True)


def test_without_a_head_nothing_shows_what_the_rows_were_so_none_goes(store):
    assert retention.plan(store.place, act("prune_1"), WALL_US + 90 * DAY_US).rows == 3 * SEGMENT_ROWS
    without_heads(store)
    assert retention.plan(store.place, act("prune_1"), WALL_US + 90 * DAY_US) is None


async def test_rows_that_were_changed_are_not_laundered_by_pruning(store):
    changed(store, "UPDATE rows SET nano_usd = 0 WHERE seq = 4")
    before = store.query("SELECT count(*) FROM rows")
    with pytest.raises(Declined, match="row 4 is not what was written; run `fallthrough ledger verify`"):
        await prune(store, 90)
    assert store.query("SELECT count(*) FROM rows") == before
    assert store.query("SELECT * FROM stub") == []


ZEROS = bytes(32)
FIRST = 2 * SEGMENT_ROWS + 1
CHANGES = {
    "moved": ("UPDATE stub SET before_us = before_us + 1",),
    "rehashed": ("UPDATE stub SET hash = ?", ZEROS),
    "rooted": ("UPDATE stub SET root = ?", ZEROS),
    "removed": ("DELETE FROM stub",),
    "past changed": (
        'UPDATE past SET what = \'["used","x",1,1]\' WHERE line = (SELECT min(line) FROM past)',
    ),
    "past scribbled": ("UPDATE past SET what = 'no list' WHERE line = (SELECT min(line) FROM past)",),
    "past removed": ("DELETE FROM past",),
    "old root changed": ("UPDATE segments SET root = ? WHERE number = 1", ZEROS),
    "old root removed": ("DELETE FROM segments WHERE number = 2",),
    "first row removed": ("DELETE FROM rows WHERE seq = ?", FIRST),
    "row changed": ("UPDATE rows SET nano_usd = 0 WHERE seq = ?", FIRST + 6),
    "balance changed": ("UPDATE balances SET used = used - 1",),
    "live balance removed": ("DELETE FROM balances WHERE scope = ?", MONTH),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_is_left_cannot_be_changed_unseen(store, change):
    await prune(store, 2)
    without_heads(store)
    assert judged(store) == (True, True)
    changed(store, *change)
    assert judged(store) == (False, False)


def unsigned(stub):
    return None


def scribbled(stub):
    return "00"


def bit_flipped(stub):
    return f"{int(stub.signature, 16) ^ 1:0128x}"


def signed_by_another(stub):
    return Seal(b"o" * 32).sign(stub.signed_bytes())


@pytest.mark.parametrize(
    "forge", [unsigned, scribbled, bit_flipped, signed_by_another], ids=lambda forge: forge.__name__
)
async def test_a_stub_made_up_by_who_has_no_key_is_seen(store, forge):
    await prune(store, 2)
    assert judged(store, key=SEAL.public_key) == (True, True)
    [values] = store.query(STUB)
    changed(store, "UPDATE stub SET signature = ?", forge(Stub(*values)))
    assert judged(store, key=SEAL.public_key) == (False, False)
    assert judged(store) == (True, True), "nothing but the signature shows it"


async def test_a_head_given_of_a_row_that_went_is_said_to_be_too_old(store):
    (own,) = store.query("SELECT hash FROM rows WHERE seq = 100")[0]
    edge = store.query("SELECT hash FROM rows WHERE seq = ?", 2 * SEGMENT_ROWS)[0][0]
    await prune(store, 2)
    (fault,) = verified(store, anchored=Link(100, own)).faults
    assert fault == "row 100, which the head given is of, was pruned: give a later one"
    assert judged(store, Link(2 * SEGMENT_ROWS, edge)) == (True, True)
    assert judged(store, Link(2 * SEGMENT_ROWS, bytes(32))) == (False, False)


async def test_an_export_of_a_pruned_ledger_is_proved_all_the_same(store, tmp_path):
    await prune(store, 2)
    told = Export(store.place, Wanted(ACME.tenant, ACME.user), SEAL.public_key)
    lines = beside(lambda: list(told.rows()))
    manifest = told.manifest()
    assert manifest["ledger"]["pruned"] == 2 * SEGMENT_ROWS
    assert manifest["first_seq"] == 2 * SEGMENT_ROWS + 1
    assert manifest["proved_rows"] > SEGMENT_ROWS
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(lines) + replay.orjson.dumps({"manifest": manifest}) + b"\n")
    assert beside(lambda: EXPORTS.verify(path, ledger=address(store.place))) == []


@in_a_file
async def test_a_row_is_deleted_only_where_a_stub_stands_for_it(store):
    await prune(store, 2)
    with closing(apsw.Connection(str(store.path))) as connection:
        with pytest.raises(apsw.ConstraintError, match="only where a stub stands"):
            connection.execute("DELETE FROM rows WHERE seq = ?", (2 * SEGMENT_ROWS + 1,))


async def test_rows_go_while_calls_come_and_a_verifier_reads(store):
    async with store.open(PACE, seal=SEAL) as ledger, asyncio.TaskGroup() as group:
        calling = group.create_task(day(ledger, 91, 200))
        pruning = group.create_task(ledger.prune(act("prune_1"), WALL_US + 90 * DAY_US))
        verdicts = []
        while not (calling.done() and pruning.done()):
            verdicts.append(await asyncio.to_thread(verify, store.place, public_key=SEAL.public_key))
    assert pruning.result() == 3 * SEGMENT_ROWS
    assert [verdict.faults for verdict in verdicts] == [()] * len(verdicts)
    assert judged(store) == (True, True)


async def test_a_start_on_a_stub_that_was_cut_short_is_refused(store):
    await prune(store, 2)
    changed(store, "DELETE FROM rows WHERE seq > ?", FIRST + 49)
    if isinstance(store, PostgresStore):
        changed(
            store,
            "UPDATE state SET (seq, hash) = (SELECT r.seq, r.hash FROM rows AS r WHERE seq = ?)",
            FIRST + 49,
        )
    with pytest.raises(StoreRefused, match="rolled back or cut short"):
        await prune(store, 2)
