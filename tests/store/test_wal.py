"""The file's log: folded in when it is quiet, begun anew when long, emptied where rows were taken away."""

import pytest

from proxy.store.pace import Pace
from proxy.store.sqlite import database
from tests.store.making import claim, hold, settlement
from tests.store.stores import SqliteStore
from tests.store.test_faults import until


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


async def test_a_quiet_ledger_folds_its_wal_into_the_file(file):
    async with file.open(Pace(idle_s=0.001)) as ledger:
        await ledger.reserve(hold("c1", claim(1)))
        await until(lambda: ledger._writer._backing.wal_pages == 0)
        await ledger.release(settlement("c1"))
    assert not file.path.with_name("ledger.db-wal").exists()


async def many(ledger, name):
    for number in range(40):
        await ledger.reserve(hold(f"{name}{number}", claim(1)))


async def test_a_long_wal_begins_anew_while_busy_and_is_written_over_in_place(file):
    wal, sizes = file.path.with_name("ledger.db-wal"), []
    async with file.open(Pace(wal_pages=8)) as ledger:
        for number in range(40):
            await ledger.reserve(hold(f"c{number}", claim(1)))
            sizes.append(wal.stat().st_size)
        assert ledger._writer._backing.wal_pages < 40
    assert sizes == sorted(sizes), "a flush of a file that grows again writes its length, too"
    assert sizes[-1] < 40 * 4096


async def test_what_was_deleted_leaves_the_wal_with_the_next_batch(file):
    wal = file.path.with_name("ledger.db-wal")
    async with file.open(Pace(wal_pages=1000)) as ledger:
        await many(ledger, "c")
        size = wal.stat().st_size
        ledger._writer.fold()
        await ledger.reserve(hold("d", claim(1)))
        await ledger.reserve(hold("e", claim(1)))  # whatever followed the batch before is done
        assert wal.stat().st_size < size / 4


async def test_what_was_deleted_leaves_the_wal_once_nobody_reads_it(file):
    wal = file.path.with_name("ledger.db-wal")
    async with file.open(Pace(wal_pages=8)) as ledger:
        reader = database.open_file_to_read(file.path)
        reader.execute("BEGIN; SELECT 1 FROM rows")
        ledger._writer.fold()
        await many(ledger, "c")
        size = wal.stat().st_size
        reader.close(True)
        await many(ledger, "d")
        assert wal.stat().st_size < size / 4
