"""Heads are told by rows and by time, and a start holds the ledger to the last of them."""

import asyncio
import json
import logging
from contextlib import closing

import apsw
import pytest
from msgspec.structs import replace

from proxy.errors import Refused
from proxy.holds import Granted
from proxy.store import StoreRefused, chain, heads, open_keys, open_ledger, verify
from proxy.store.anchor import Cadence
from proxy.store.chain import COLUMNS, GENESIS, Frontier, canonical, leaf, node, segment_root
from proxy.store.heads import Head, heads_path
from proxy.store.keys import read_public_key
from proxy.store.pace import Pace
from proxy.store.seal import Seal
from tests.store.making import WALL_US, StillClock, claim, hold, settlement
from tests.store.stores import SqliteStore

NEVER = 10**9
SEAL = Seal(b"k" * 32)
OTHER = Seal(b"o" * 32)


def paced(rows=NEVER, seconds=NEVER):
    return Pace(idle_s=0.001, retry_s=0.001, busy_ms=1, heads=Cadence(rows, seconds))


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


def sizes(path):
    return [head.size for head in heads.read(path)]


async def until(true):
    while not true():  # noqa: ASYNC110 - the writer is another thread and has no event for tests
        await asyncio.sleep(0)


async def test_a_head_is_told_after_so_many_rows_and_at_the_end(file):
    async with file.open(paced(rows=10)) as ledger:
        for number in range(25):
            await ledger.reserve(hold(f"c{number}", claim(1)))
    assert sizes(file.path) == [10, 20, 25]


async def test_a_head_is_told_after_so_much_time_even_if_nothing_comes(file):
    clock = StillClock()
    async with open_ledger(file.path, clock=clock, on_alert=print, pace=paced(seconds=30)) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
        clock.now_us += 29_000_000
        await ledger.reserve(hold("c2", claim(1)))
        assert sizes(file.path) == []
        clock.now_us += 1_000_000
        await until(lambda: sizes(file.path) == [2])
        clock.now_us += 1_000_000_000
        await ledger.reserve(hold("c3", claim(1)))
        await until(lambda: sizes(file.path) == [2, 3])
    assert sizes(file.path) == [2, 3], "there is nothing to tell where no row came"
    assert [head.at_us - WALL_US for head in heads.read(file.path)] == [30_000_000, 1_030_000_000]


async def test_a_start_tells_what_the_process_before_it_could_not(file):
    async with file.open(paced()) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
    heads_path(file.path).unlink()
    async with file.open(paced()):
        await until(lambda: sizes(file.path) == [2])
    assert [head.epoch for head in heads.read(file.path)] == [2]


async def test_a_head_is_in_the_log_with_all_that_is_in_the_file(file, caplog):
    caplog.set_level(logging.INFO, "proxy.ledger")
    async with file.open(paced(rows=1), seal=SEAL) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
    [head] = heads.read(file.path)
    [line] = [record for record in caplog.records if record.getMessage() == "ledger head"]
    assert {name: getattr(line, name) for name in heads.SHAPE} == json.loads(heads.dump(head))
    assert head.signed_by(SEAL.public_key)
    assert head.key_id == SEAL.public_key.key_id
    assert not head.signed_by(OTHER.public_key)


async def test_a_start_tells_the_key_that_checks_what_it_will_sign(file, caplog):
    caplog.set_level(logging.INFO, "proxy.ledger")
    async with file.open(seal=SEAL):
        pass
    [line] = [record for record in caplog.records if record.getMessage() == "ledger public key"]
    assert (line.key_id, line.public_key) == (SEAL.public_key.key_id, SEAL.public_key.hex)


async def test_a_start_refuses_a_head_signed_anew_with_another_key(file):
    async with file.open(paced(rows=1), seal=SEAL) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
    [head] = heads.read(file.path)
    forged = replace(head, key_id=OTHER.public_key.key_id)
    forged = replace(forged, signature=OTHER.sign(forged.signed_bytes()))
    heads_path(file.path).write_bytes(heads.dump(forged))
    assert "the last head beside it is not signed by the key in keys.db" in await refused(file.path)


async def test_a_heads_file_that_takes_nothing_stops_no_call_and_is_tried_again(file, monkeypatch, caplog):
    append, full = heads.append, OSError("disk full")

    def refuse(_ledger, _head):
        raise full

    async with file.open(paced(rows=1)) as ledger:
        monkeypatch.setattr(heads, "append", refuse)
        for number in range(5):
            await ledger.reserve(hold(f"c{number}", claim(1)))
        await until(lambda: "head could not be kept: disk full" in caplog.text)
        monkeypatch.setattr(heads, "append", append)
        await until(lambda: sizes(file.path) == [5])
    assert caplog.text.count("could not be kept") == 1


async def test_a_line_that_was_not_finished_is_no_head_and_gives_way_to_the_next(file):
    async with file.open(paced(rows=1)) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
    whole = heads_path(file.path).read_bytes()
    heads_path(file.path).write_bytes(whole + b'{"size": 2, "ha')
    assert sizes(file.path) == [1]
    async with file.open(paced(rows=1)):
        pass
    assert heads_path(file.path).read_bytes().startswith(whole + b'{"size":2,')
    assert sizes(file.path) == [1, 2]


async def test_a_ledger_without_heads_is_taken_but_said_so(file, caplog):
    async with file.open() as ledger:
        assert caplog.text == "", "a new ledger has no heads and needs none"
        await ledger.reserve(hold("c1", claim(1)))
        await ledger.release(settlement("c1"))
    heads_path(file.path).unlink()
    async with file.open():
        pass
    assert "no head of this ledger is at hand, so nothing shows whether it was rolled back" in caplog.text
    assert sizes(file.path) == [2]


async def refused(path, seal=SEAL):
    with pytest.raises(StoreRefused) as caught:
        async with open_ledger(path, clock=StillClock(), on_alert=print, seal=seal):
            pass
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda head: {**head, "size": head["size"] - 1},
        lambda head: {**head, "signature": None},
        lambda head: {**head, "signature": "0" * 128},
        lambda head: {**head, "signature": f"{int(head['signature'], 16) ^ 1:0128x}"},
        lambda head: {**head, "size": True},
        lambda head: {**head, "more": 1},
        lambda _: [],
    ],
    ids=["changed", "not signed", "signed by nobody", "one bit", "no number", "more than a head", "a list"],
)
async def test_a_head_that_our_key_did_not_sign_is_not_believed(file, change):
    async with file.open(paced(rows=1), seal=SEAL) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
        await ledger.release(settlement("c1"))
    beside = heads_path(file.path)
    sound = beside.read_bytes()
    beside.write_text(json.dumps(change(json.loads(sound.splitlines()[-1]))) + "\n")
    assert "not signed by the key in keys.db; bring back the keys.db" in await refused(file.path)
    assert verify.verify(file.path, public_key=SEAL.public_key).faults != ()
    beside.write_bytes(sound)
    assert "not signed by the key in keys.db" in await refused(file.path, OTHER)


async def test_a_heads_file_that_cannot_be_read_is_refused(file):
    heads_path(file.path).mkdir()
    assert "ledger.db.heads: it cannot be read" in await refused(file.path)
    heads_path(file.path).rmdir()
    async with file.open():
        pass


BUSY_MS = 10_000
"""The writer may be at work when the intruder comes."""


def add_row(path):
    """What a foreign program would do: a row that continues nothing."""
    same = ", ".join(name for name in (*COLUMNS, "prev", "hash") if name not in {"seq", "kind", "entries"})
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(BUSY_MS)
        connection.execute(
            f"INSERT INTO rows (seq, kind, entries, {same}) SELECT seq + 1, 'alert', '[]', {same}"
            " FROM rows ORDER BY seq DESC LIMIT 1"
        )


def take_row(path):
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(BUSY_MS)
        connection.execute("DROP TRIGGER rows_never_go")
        connection.execute("DELETE FROM rows WHERE kind = 'alert'")


async def test_a_row_that_another_program_wrote_stops_the_writer_until_it_is_gone(file):
    async with file.open(paced()) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
        add_row(file.path)
        with pytest.raises(Refused):
            await ledger.reserve(hold("c2", claim(1)))
        await until(lambda: "it ends at row 2, the last one written here is 1" in (ledger.trouble or ""))
        take_row(file.path)
        await until(lambda: ledger.trouble is None)
        assert isinstance(await ledger.reserve(hold("c2", claim(1))), Granted)


async def test_a_row_added_while_nobody_served_is_refused_at_start(file):
    async with file.open(paced()) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
    add_row(file.path)
    assert "row 2 was rewritten, or is not the proxy's" in await refused(file.path, None)
    take_row(file.path)


async def test_verifying_beside_a_writer_finds_it_whole(file, monkeypatch):
    monkeypatch.setattr(verify, "SLICE_ROWS", 50)
    async with file.open(paced(rows=64), seal=SEAL) as ledger:

        async def work():
            for number in range(520):
                await ledger.reserve(hold(f"c{number}", claim(1, NEVER)))
                await ledger.commit(settlement(f"c{number}"))

        async with asyncio.TaskGroup() as group:
            working = group.create_task(work())
            verdicts = []
            while not working.done():
                verdicts.append(await asyncio.to_thread(verify.verify, file.path, public_key=SEAL.public_key))
    assert [verdict.faults for verdict in verdicts] == [()] * len(verdicts)
    last = verify.verify(file.path, public_key=SEAL.public_key)
    assert (last.rows, last.segments, last.signed) == (1040, 1, True)


async def test_the_key_that_signs_heads_lies_in_the_key_file_and_stays(tmp_path):
    path = tmp_path / "ledger.db"
    assert read_public_key(path) is None
    async with open_keys(path, clock=StillClock()) as keys:
        first = keys.seal.public_key
    async with open_keys(path, clock=StillClock()) as keys:
        assert keys.seal.public_key == first
    assert read_public_key(path) == first
    async with open_keys(tmp_path / "other" / "ledger.db", clock=StillClock()) as keys:
        assert keys.seal.public_key != first


async def test_every_column_is_hashed(file):
    """Whoever adds a column adds it to `COLUMNS`, or it can be changed unseen."""
    async with file.open():
        pass
    names = [name for (name,) in file.query("SELECT name FROM pragma_table_info('rows')")]
    assert sorted(names) == sorted((*COLUMNS, "prev", "hash"))


def test_values_have_one_encoding_and_no_two_share_it():
    told = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc", None),
        (None, "abc"),
        ("1", None),
        (1, None),
        (None, 1),
        (0,),
        ("",),
        (),
    ]
    assert len({canonical(each) for each in told}) == len(told)
    assert canonical(("é", None, -1, None)) == b"t-i\n" + (2).to_bytes(8) + b"\xff" * 8 + "é".encode()
    assert canonical((1, None)) == canonical((1,)), "a column added later leaves older rows as they were"
    for wrong in (1.0, b"x", True):
        with pytest.raises(TypeError):
            canonical((wrong,))


def test_a_hash_is_what_the_format_says():
    """Golden: a change here breaks every ledger there is."""
    told = leaf(GENESIS.hash, (1, "é", None))
    assert told.hex() == "bf9f0edeab14e2a7ba12c709cce27ca4a9d57d5664826cf8b0ad325ceb738d64"
    assert node(told, told) != leaf(told, ())


@pytest.mark.parametrize("count", range(1, 20))
def test_a_growing_root_is_that_of_rfc_6962(count):
    def root(hashes):
        if len(hashes) == 1:
            return hashes[0]
        half = 1 << (len(hashes) - 1).bit_length() - 1
        return node(root(hashes[:half]), root(hashes[half:]))

    hashes, frontier = [bytes([number]) * 32 for number in range(count)], Frontier()
    for each in hashes:
        frontier.add(each)
    assert frontier.root() == root(hashes)
    assert chain.SEGMENT_ROWS & (chain.SEGMENT_ROWS - 1) == 0
    assert segment_root(hashes[:16]) == root(hashes[:16]) if count >= 16 else True


def test_a_head_is_signed_over_all_of_it():
    head = Head(5, "ab" * 32, None, 7, 2, SEAL.public_key.key_id, None)
    others = (
        Head(6, "ab" * 32, None, 7, 2, SEAL.public_key.key_id, None),
        Head(5, "ab" * 32, "cd" * 32, 7, 2, SEAL.public_key.key_id, None),
        Head(5, "ab" * 32, None, 7, 2, None, None),
    )
    assert len({SEAL.sign(each.signed_bytes()) for each in (head, *others)}) == 4
