"""The disk says no: callers are told the truth, and service comes back without a restart."""

import asyncio

import apsw
import pytest
from msgspec.structs import replace

from proxy.errors import Refused
from proxy.holds import Granted, Progress
from proxy.ports import Declined
from proxy.store import StoreRefused, open_ledger
from proxy.store.journal import Journal
from proxy.store.pace import Pace
from proxy.store.sqlite import database
from proxy.store.verify import verify
from proxy.usage import Usage
from tests.store.making import StillClock, act, charge, claim, hold, settlement
from tests.store.stores import SqliteStore

HASTY = Pace(retry_s=0.001, busy_ms=1, idle_s=0.001)


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


class Failing:
    """A connection that fails at a statement that begins so, before or after doing it, until told to stop."""

    def __init__(self, connection, statement, *, done_first=False):
        self.connection, self.statement, self.done_first = connection, statement, done_first
        self.failing = True

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql, *values):
        if self.failing and sql.startswith(self.statement):
            if self.done_first:
                self.connection.execute(sql, *values)
            raise apsw.IOError("fsync failed")
        return self.connection.execute(sql, *values)


def tables_of(ledger):
    return ledger._writer._backing.tables


class Cramped:
    """A connection whose disk is full while `full` is set: no transaction may add a page."""

    def __init__(self, connection):
        self.connection, self.full = connection, False

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql, *values):
        if sql == "BEGIN IMMEDIATE":
            pages = self.connection.execute("PRAGMA page_count").get if self.full else 2**30
            self.connection.execute(f"PRAGMA max_page_count = {pages}")
        return self.connection.execute(sql, *values)


class Dead(Cramped):
    """A connection whose disk does nothing at all while `full` is set."""

    asked = 0

    def execute(self, sql, *values):
        if self.full:
            self.asked += 1
            raise apsw.IOError("the disk is gone")
        return self.connection.execute(sql, *values)


async def until(true):
    while not true():  # noqa: ASYNC110 - the writer is another thread and has no event for tests
        await asyncio.sleep(0)


async def until_well(ledger):
    await until(lambda: ledger.trouble is None)


@pytest.mark.fault("d4-full")
async def test_a_full_disk_refuses_reservations_and_keeps_settlements(file):
    async with file.open(HASTY) as ledger:
        disk = tables_of(ledger).connection = Cramped(tables_of(ledger).connection)
        calls = [f"c{number}" for number in range(50)]
        for call_id in calls:
            await ledger.reserve(hold(call_id, claim(10)))
        disk.full = True
        settling = asyncio.gather(*(ledger.commit(settlement(call_id, charge(8))) for call_id in calls))
        await until(lambda: ledger.trouble)
        assert "Full" in ledger.trouble
        with pytest.raises(Refused) as caught:
            await ledger.reserve(hold("while full", claim(10)))
        told = caught.value.told
        assert (told.status, told.code, told.should_retry) == (503, "ledger_unavailable", True)
        assert not settling.done()
        disk.full = False
        await settling
        await until_well(ledger)
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)
    assert all(file.kinds(call_id) == ["reserve", "commit"] for call_id in calls)
    assert file.kinds("while full") == []
    assert file.balance() == (400, 1)


async def refused_for_want_of_room(ledger):
    """Holds so much that no page has room for it, and somebody is refused."""
    with pytest.raises(Refused):
        for number in range(100):
            await ledger.reserve(hold(f"c{number}", claim(1, scope="x" * 400 + str(number))))


async def test_a_reservation_that_meets_a_full_disk_is_told_so(file):
    async with file.open(HASTY) as ledger:
        disk = tables_of(ledger).connection = Cramped(tables_of(ledger).connection)
        disk.full = True
        await refused_for_want_of_room(ledger)
        disk.full = False
        await until_well(ledger)
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)


async def test_acts_that_meet_a_full_disk_are_declined_but_for_what_is_done_already(file):
    async with file.open(HASTY) as ledger:
        disk = tables_of(ledger).connection = Cramped(tables_of(ledger).connection)
        await ledger.reserve(hold("c1", claim(10)))
        disk.full = True
        with pytest.raises(Declined):
            for number in range(100):
                await ledger.reset(act("reset_" + "x" * 400 + str(number)), "tenant=acme/tokens/day")
        noting = asyncio.ensure_future(ledger.erased(act("erase_1"), "acme"))
        await asyncio.sleep(0)
        disk.full = False
        await noting
        await until_well(ledger)
        await ledger.commit(settlement("c1", charge(8)))
    assert file.query("SELECT count(*) FROM rows WHERE kind = 'erase'") == [(1,)]


async def test_a_disk_that_is_gone_while_only_notes_come_stops_nobody(file):
    async with file.open(replace(HASTY, note_s=0.01)) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await until(lambda: ledger._writer._backing.wal_pages == 0)
        disk = tables_of(ledger).connection = Dead(tables_of(ledger).connection)
        disk.full = True
        ledger.note(Progress("c1", Usage(1, 1), 0, "vllm", "m", (charge(2),)))
        await until(lambda: disk.asked > 1)
        disk.full = False
        await ledger.commit(settlement("c1", charge(8)))
        assert isinstance(await ledger.reserve(hold("c2", claim(10))), Granted)


@pytest.mark.fault("d5-locked")
async def test_a_foreign_lock_refuses_reservations_and_keeps_settlements(file):
    async with file.open(HASTY) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        intruder = apsw.Connection(str(file.path))
        intruder.set_busy_timeout(10_000)
        intruder.execute("BEGIN IMMEDIATE")
        settling = asyncio.ensure_future(ledger.commit(settlement("c1", charge(8))))
        with pytest.raises(Refused):
            await ledger.reserve(hold("c2", claim(10)))
        assert not settling.done()
        assert "Busy" in ledger.trouble
        intruder.execute("ROLLBACK")
        intruder.close()
        await settling
        await until_well(ledger)
        assert isinstance(await ledger.reserve(hold("c3", claim(10))), Granted)
    assert file.kinds("c1") == ["reserve", "commit"]
    assert file.kinds("c2") == []


@pytest.mark.fault("d6-flush")
@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "INSERT INTO rows ", "COMMIT"])
async def test_a_failed_write_opens_the_file_anew_and_loses_no_settlement(file, statement):
    async with file.open(HASTY) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        suspect = tables_of(ledger).connection
        tables_of(ledger).connection = Failing(suspect, statement)
        settling = ledger.commit(settlement("c1", charge(8)))
        with pytest.raises(Refused):
            await ledger.reserve(hold("c2", claim(10)))
        await settling
        assert tables_of(ledger).connection is not suspect
        await until_well(ledger)
        assert isinstance(await ledger.reserve(hold("c2", claim(10))), Granted)
    assert file.balance() == (8, 10)


@pytest.mark.fault("d6-flush")
async def test_a_commit_that_failed_yet_reached_the_disk_binds_nobody(file):
    async with file.open(HASTY) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        tables = tables_of(ledger)
        tables.connection = Failing(tables.connection, "COMMIT", done_first=True)
        settling = ledger.commit(settlement("c1", charge(8)))
        with pytest.raises(Refused):
            await ledger.reserve(hold("c2", claim(10)))
        await settling
        await until_well(ledger)
        assert file.balance() == (8, 0)
    assert file.kinds("c1") == ["reserve", "commit"]
    assert file.kinds("c2") in ([], ["reserve", "release"])


async def test_a_file_that_lost_acknowledged_rows_is_not_trusted_again(file):
    async with file.open(Pace(retry_s=0.001, last_s=0.0)) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        ledger._writer._backing._tail += 5
        tables_of(ledger).connection = Failing(tables_of(ledger).connection, "BEGIN IMMEDIATE")
        with pytest.raises(Refused):
            await ledger.reserve(hold("c2", claim(10)))
        await until(lambda: "acknowledged rows are missing" in ledger.trouble)
        with pytest.raises(Refused):
            await ledger.reserve(hold("c3", claim(10)))


async def test_a_settlement_that_can_never_be_written_is_settled_by_the_next_start(file):
    async with file.open(Pace(retry_s=0.001, busy_ms=1, last_s=0.0)) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        intruder = apsw.Connection(str(file.path))
        intruder.set_busy_timeout(10_000)
        intruder.execute("BEGIN IMMEDIATE")
        settling = ledger.commit(settlement("c1", charge(8)))
    with pytest.raises(Refused):
        await settling
    intruder.close()
    async with file.open():
        assert file.kinds("c1") == ["reserve", "expire"]


async def test_who_ends_owing_nothing_does_not_wait_for_a_database_that_takes_no_writes(file, caplog):
    async with file.open(Pace(retry_s=0.001, busy_ms=1, last_s=10**9)) as ledger:
        intruder = apsw.Connection(str(file.path))
        intruder.set_busy_timeout(10_000)
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused):
            await ledger.reserve(hold("c1", claim(10)))
        await until(lambda: ledger.trouble)
    intruder.close()
    assert "could not be written; the next start" not in caplog.text


async def test_nobody_waits_for_a_writer_that_has_stopped(file):
    async with file.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
    with pytest.raises(Refused):
        await ledger.reserve(hold("c2", claim(10)))
    with pytest.raises(Refused):
        await ledger.commit(settlement("c1", charge(8)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_defect_that_stops_the_writer_refuses_all_who_wait(file):
    async with file.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        tables_of(ledger).tail = None  # calling it is a defect that nobody foresaw
        asked = (ledger.reserve(hold(f"c{number}", claim(10))) for number in range(2, 6))
        settling = ledger.commit(settlement("c1", charge(8)))
        done = await asyncio.gather(*asked, settling, return_exceptions=True)
        assert {type(each) for each in done} == {Refused}
        assert ledger.trouble == "the ledger's writer has stopped"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_who_waits_for_a_write_that_changes_nothing_is_told_of_such_a_defect_too(file):
    async with file.open() as ledger:
        tables_of(ledger).tail = None
        with pytest.raises(Refused):
            await ledger._writer.submit(Journal.touch, None)


async def test_too_many_waiting_are_shed_never_dropped_and_settlements_always_enter(file):
    async with file.open(Pace(queue=4)) as ledger:
        await ledger.reserve(hold("open", claim(1)))
        asked = [ledger.reserve(hold(f"c{number}", claim(1))) for number in range(200)]
        settling = ledger.commit(settlement("open", charge(1)))
        done = await asyncio.gather(*asked, return_exceptions=True)
        await settling
    assert {type(each) for each in done} == {Granted, Refused}
    granted = [each for each in done if isinstance(each, Granted)]
    assert len(file.query("SELECT 1 FROM open_calls")) == len(granted)


async def refused(path):
    with pytest.raises(StoreRefused) as caught:
        async with open_ledger(path, clock=StillClock(), on_alert=print):
            pass
    return str(caught.value)


@pytest.mark.fault("d20-second")
async def test_a_second_writer_is_refused_and_the_first_goes_on(file):
    async with file.open() as ledger:
        assert "another process writes this ledger" in await refused(file.path)
        assert isinstance(await ledger.reserve(hold("c1", claim(10))), Granted)
    async with file.open():
        pass


async def damaged(path, change):
    """A ledger with some calls in it, closed, and then changed by `change(bytearray)`."""
    async with open_ledger(path, clock=StillClock(), on_alert=print) as ledger:
        for number in range(200):
            await ledger.reserve(hold(f"c{number}", claim(10, 10**9)))
            await ledger.release(settlement(f"c{number}"))
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))
    return path.read_bytes()


def foreign(number, at):
    def change(content):
        content[at : at + 4] = number.to_bytes(4, "big")
        return content

    return change


@pytest.mark.fault("d7-not-ours")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda _: b"", "the file is empty"),
        (lambda _: b"not a database at all" * 100, "cannot open it"),
        (foreign(database.APPLICATION_ID + 1, 68), "not a Fallthrough ledger"),
        (foreign(99, 60), "newer Fallthrough"),
        (lambda content: content[: len(content) // 2], ""),
        (lambda content: content[:4096] + b"\xa5" * 4096 + content[8192:], ""),
        (lambda content: content[:81920] + b"\x00" * 4096 + content[86016:], "the file is damaged"),
    ],
    ids=["empty", "text", "foreign", "newer", "cut", "overwritten", "a page of rows zeroed"],
)
async def test_a_file_that_is_not_sound_is_refused_and_left_as_it_is(tmp_path, change, problem):
    path = tmp_path / "ledger.db"
    before = await damaged(path, change)
    assert problem in await refused(path)
    assert path.read_bytes() == before


async def test_a_large_file_is_looked_at_where_the_next_call_writes(tmp_path, monkeypatch):
    """However long the ledger is, a start reads a bounded part of it; `verify` reads the rest."""
    monkeypatch.setattr(database, "LOOKED_THROUGH", 0)
    path = tmp_path / "ledger.db"
    await damaged(path, lambda content: content)
    connection = apsw.Connection(str(path))
    pages = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage").fetchall())
    connection.close()
    sound = path.read_bytes()

    def zeroed(table):
        start = (pages[table] - 1) * 4096
        return sound[:start] + bytes(4096) + sound[start + 4096 :]

    for table in database.WORKING:
        path.write_bytes(zeroed(table))
        assert await refused(path), table
    path.write_bytes(sound[:81920] + bytes(4096) + sound[86016:])
    async with open_ledger(path, clock=StillClock(), on_alert=print) as ledger:
        assert isinstance(await ledger.reserve(hold("more", claim(1))), Granted)
    assert verify(path).faults


async def test_a_wal_without_its_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.db-wal").write_bytes(b"frames")
    assert "the ledger is gone" in await refused(tmp_path / "ledger.db")
    assert not (tmp_path / "ledger.db").exists()


async def test_a_kill_while_creating_leaves_nothing_in_the_way(tmp_path):
    (tmp_path / "ledger.db.new").write_bytes(b"half")
    async with SqliteStore(tmp_path).open() as ledger:
        assert isinstance(await ledger.reserve(hold("c1", claim(1))), Granted)
