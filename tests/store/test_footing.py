"""A running ledger whose file is removed, replaced, or without room: no row is acknowledged and then lost."""

import shutil
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from proxy.errors import Refused
from proxy.holds import Granted
from proxy.store import open_ledger
from proxy.store.sqlite import backing, footing
from proxy.store.sqlite.database import connect
from proxy.store.sqlite.footing import ROOM_BYTES
from tests.store.making import StillClock, charge, claim, hold, settlement
from tests.store.stores import SqliteStore
from tests.store.test_faults import (
    HASTY,
    Cramped,
    Failing,
    refused_for_want_of_room,
    tables_of,
    until,
    until_well,
)


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


def removed(path: Path) -> None:
    """Moved out of the way, as a tool does that turns files over; by this it can come back."""
    path.rename(path.with_name("aside"))


def replaced(path: Path) -> None:
    """A copy takes its place, as when a backup is restored under a running proxy."""
    removed(path)
    shutil.copy(path.with_name("aside"), path)


@pytest.mark.fault("d7-gone")
@pytest.mark.parametrize("change", [removed, replaced])
@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_nothing_is_written_into_a_file_that_nobody_will_find(file, change, suffix):
    name = file.path.with_name(file.path.name + suffix)
    async with file.open(HASTY) as ledger:
        await ledger.reserve(hold("before", claim(10)))
        change(name)
        settling = ledger.commit(settlement("before", charge(8)))
        with pytest.raises(Refused) as caught:
            await ledger.reserve(hold("meanwhile", claim(10)))
        assert (caught.value.told.status, caught.value.told.code) == (503, "ledger_unavailable")
        assert "another file has taken its place" in ledger.trouble
        name.with_name("aside").rename(name)
        await settling
        await until_well(ledger)
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)
    assert file.kinds("before") == ["reserve", "commit"]
    assert file.kinds("meanwhile") == []
    assert file.balance() == (8, 1)


def take_the_wal_away(path: Path) -> None:
    """As a reader does that is the last to close the file."""
    reader = apsw.Connection(str(path))
    assert reader.execute("SELECT count(*) FROM rows").get
    reader.close()
    path.with_name("another").touch()  # or the number of the old WAL would be given to the next


async def test_a_wal_that_is_new_because_the_file_was_opened_anew_is_no_stranger_s(file, monkeypatch):
    def connect_behind_a_reader(path, busy_ms):
        take_the_wal_away(path)
        return connect(path, busy_ms)

    async with file.open(HASTY) as ledger:
        await ledger.reserve(hold("before", claim(10)))
        wal = file.path.with_name(file.path.name + "-wal")
        number = wal.stat().st_ino
        monkeypatch.setattr(backing, "connect", connect_behind_a_reader)
        disk = tables_of(ledger).connection = Failing(tables_of(ledger).connection, "COMMIT")
        with pytest.raises(Refused):
            await ledger.reserve(hold("meanwhile", claim(10)))
        disk.failing = False
        await until_well(ledger)
        assert wal.stat().st_ino != number
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)


async def test_a_wal_taken_away_while_the_file_could_not_be_opened_is_no_stranger_s_either(file, monkeypatch):
    bad = [True]

    def connect_to_a_bad_disk(path, busy_ms):
        if bad:
            raise apsw.CantOpenError("the disk has failed")
        return connect(path, busy_ms)

    async with file.open(HASTY) as ledger:
        await ledger.reserve(hold("before", claim(10)))
        monkeypatch.setattr(backing, "connect", connect_to_a_bad_disk)
        tables_of(ledger).connection = Failing(tables_of(ledger).connection, "COMMIT")
        with pytest.raises(Refused):
            await ledger.reserve(hold("meanwhile", claim(10)))
        await until(lambda: "the disk has failed" in ledger.trouble)
        take_the_wal_away(file.path)
        bad.clear()
        await until_well(ledger)
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)


async def test_the_wal_of_a_file_behind_a_link_is_watched_where_it_is(tmp_path):
    there, link = tmp_path / "disk" / "there.db", tmp_path / "ledger.db"
    async with open_ledger(there, clock=StillClock(), on_alert=print):
        pass
    link.symlink_to(there)
    async with open_ledger(link, clock=StillClock(), on_alert=print, pace=HASTY) as ledger:
        await ledger.reserve(hold("before", claim(10)))
        wal = there.with_name("there.db-wal")
        removed(wal)
        with pytest.raises(Refused):
            await ledger.reserve(hold("meanwhile", claim(10)))
        wal.with_name("aside").rename(wal)
        await until_well(ledger)


async def test_a_ledger_whose_file_never_comes_back_is_closed_all_the_same(file, tmp_path):
    async with file.open(replace(HASTY, last_s=0.0)) as ledger:
        await ledger.reserve(hold("before", claim(10)))
        removed(file.path)
        ledger.commit(settlement("before", charge(8)))
        with pytest.raises(Refused):
            await ledger.reserve(hold("meanwhile", claim(10)))
    (tmp_path / "aside").rename(file.path)
    async with file.open():
        assert file.kinds("before") == ["reserve", "expire"]


@pytest.mark.fault("d4-full")
async def test_a_disk_that_was_full_is_not_ready_before_it_has_room_for_more_than_a_page(file, monkeypatch):
    left, asked = [0], []
    monkeypatch.setattr(footing, "free_bytes", lambda path: asked.append(path) or left[0])
    async with file.open(HASTY) as ledger:
        disk = tables_of(ledger).connection = Cramped(tables_of(ledger).connection)
        disk.full = True
        await refused_for_want_of_room(ledger)
        assert asked == [], "a disk that nobody found full is not asked before each batch"
        await until(lambda: len(asked) > 2)
        assert "its disk is full" in ledger.trouble
        disk.full = False
        left[0] = ROOM_BYTES
        await until_well(ledger)
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)
