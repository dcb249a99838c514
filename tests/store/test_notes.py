"""How far calls had got is noted on the way, costs no flush, and is what a crash settles them to."""

import asyncio

import apsw
import pytest
from msgspec.structs import replace

from proxy.holds import Charge, Progress
from proxy.store.pace import Pace
from proxy.table import Unit
from proxy.usage import Source, Usage
from tests.store.making import charge, claim, hold, settlement
from tests.store.stores import SqliteStore

USD = "tenant=acme/nano_usd/month"
HASTY = Pace(note_s=0.001)
NEVER = Pace(note_s=3600.0)
ROW = "result, source, input_tokens, output_tokens, nano_usd, upstream, upstream_model"
SEEN = "SELECT seen FROM open_calls WHERE call_id = ?"


def progress(call_id, tokens, **amounts):
    usage = Usage(3, tokens - 3, reasoning=1, source=Source.REPORTED)
    amounts = {"tenant=acme/tokens/day": tokens, **amounts}
    charges = tuple(charge(amount, scope=scope) for scope, amount in amounts.items())
    return Progress(call_id, usage, 5 * tokens, "vllm", "m", charges)


async def until(true):
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never came true")


async def noted(store, call_id):
    await until(lambda: store.query(SEEN, call_id)[0][0] is not None)


async def test_a_crash_settles_a_call_to_what_was_last_noted_of_it_as_observed(store):
    async with store.open(HASTY) as ledger:
        claims = (claim(500), claim(9999, 99_999, scope=USD, unit=Unit.NANO_USD))
        await ledger.reserve(hold("c1", *claims))
        await ledger.reserve(hold("c2", claim(10)))
        ledger.note(progress("c1", 40, **{USD: 200}))
        await noted(store, "c1")
        ledger.note(progress("c1", 90, **{USD: 450}))
        await until(lambda: b"450" in store.query(SEEN, "c1")[0][0].encode())
    async with store.open():
        assert store.balance() == (90 + 4, 0), "the other call comes to its prompt"
        assert store.balance(USD) == (450, 0)
    found = store.query(f"SELECT {ROW} FROM rows WHERE kind = 'expire' ORDER BY call_id")
    assert found == [
        ("crash_settled", "observed", 3, 87, 450, "vllm", "m"),
        ("crash_settled", "estimated", 4, 0, 400, None, None),
    ]


async def test_a_request_counts_once_noted_and_a_call_at_once_does_not(store):
    async with store.open(HASTY) as ledger:
        requests, at_once = (
            claim(1, 9, scope="r", unit=Unit.REQUESTS),
            claim(1, 9, scope="s", unit=Unit.STREAMS),
        )
        await ledger.reserve(hold("c1", requests, at_once))
        ledger.note(replace(progress("c1", 40), charges=(charge(1, scope="r"), charge(0, scope="s"))))
        await noted(store, "c1")
    async with store.open():
        assert (store.balance("r"), store.balance("s")) == ((1, 0), (0, 0))


async def test_a_note_rides_with_the_next_batch(store):
    async with store.open(NEVER) as ledger:
        await ledger.reserve(hold("c1", claim(100)))
        ledger.note(progress("c1", 20))
        ledger.note(progress("c1", 40))
        assert store.query(SEEN, "c1") == [(None,)]
        await ledger.reserve(hold("c2", claim(10)))
        assert b'"nano_usd":200' in store.query(SEEN, "c1")[0][0].encode()


async def test_a_note_that_comes_too_late_changes_nothing(store):
    async with store.open(HASTY) as ledger:
        await ledger.reserve(hold("c1", claim(100)))
        await ledger.commit(settlement("c1", charge(8)))
        ledger.note(progress("c1", 40))
        ledger.note(progress("never reserved", 40))
        await ledger.reserve(hold("c2", claim(10)))
        await ledger.release(settlement("c2"))
        assert store.balance() == (8, 0)
    assert store.kinds("c1") == ["reserve", "commit"]


async def test_what_was_noted_is_no_part_of_a_call_that_settles_itself(store):
    async with store.open(HASTY) as ledger:
        await ledger.reserve(hold("c1", claim(100)))
        ledger.note(progress("c1", 40))
        await noted(store, "c1")
        await ledger.commit(settlement("c1", charge(60)))
        assert store.balance() == (60, 0)


async def test_a_charge_that_was_never_claimed_is_not_invented_by_a_note(store):
    async with store.open(HASTY) as ledger:
        await ledger.reserve(hold("c1", claim(100)))
        ledger.note(replace(progress("c1", 40), charges=(Charge("never claimed", 0, 5),)))
        await noted(store, "c1")
    async with store.open():
        assert (store.balance(), store.balance("never claimed")) == ((0, 0), (0, 0))


class CountedFile(apsw.VFSFile):
    """A file that counts how often it is flushed."""

    def __init__(self, vfs, name, flags):
        super().__init__("unix", name, flags)
        self.vfs = vfs

    def xSync(self, flags):  # noqa: N802 - SQLite's name
        self.vfs.flushes += 1
        return super().xSync(flags)


class CountingVfs(apsw.VFS):
    """The default file system, counted."""

    def __init__(self):
        self.flushes = 0
        super().__init__("counting", "unix", makedefault=True)

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        return CountedFile(self, name, flags)


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


@pytest.fixture
def counting():
    vfs = CountingVfs()
    yield vfs
    vfs.unregister()


async def test_notes_of_a_lone_stream_flush_nothing_and_later_commits_flush_again(file, counting):
    async with file.open(replace(HASTY, idle_s=0.001)) as ledger:
        await ledger.reserve(hold("c1", claim(1000)))
        await until(lambda: ledger._writer._backing.wal_pages == 0)  # what the commit left to do is done
        ledger.note(progress("c1", 39))  # the WAL begins anew with it, which is flushed once
        await noted(file, "c1")
        before = counting.flushes
        assert before > 0
        for tokens in range(40, 80):
            ledger.note(progress("c1", tokens))
            await until(
                lambda tokens=tokens: f'"nano_usd":{5 * tokens},' in (file.query(SEEN, "c1")[0][0] or "")
            )
        assert counting.flushes == before
        await ledger.commit(settlement("c1", charge(8)))
        assert counting.flushes > before


async def test_a_disk_that_takes_no_note_is_no_trouble_until_a_batch_finds_it_so(file, caplog):
    async with file.open(HASTY) as ledger:
        await ledger.reserve(hold("c1", claim(100)))
        journal = ledger._writer._journal
        written, journal.progressed = journal.progressed, failing
        ledger.note(progress("c1", 40))
        await until(lambda: "could not be noted" in caplog.text)
        journal.progressed = written
        assert ledger.trouble is None
        await ledger.commit(settlement("c1", charge(8)))
        assert journal.tables.connection.pragma("synchronous") == 2, "FULL again"
    assert file.balance() == (8, 0)


def failing(_progress):
    raise apsw.FullError("the disk is full")
