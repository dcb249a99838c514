"""The ledger's file: where it may lie, who may read it, and what can neither stand in it nor be changed."""

import os
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from proxy.store import StoreRefused, open_ledger
from proxy.store.sqlite.database import open_file
from tests.store.failing_disk import FAULTS, Disk
from tests.store.making import StillClock, claim, hold
from tests.store.stores import SqliteStore


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


async def test_rows_can_be_neither_changed_nor_deleted(file):
    async with file.open() as ledger:
        await ledger.reserve(hold("c1", claim(1)))
    connection = apsw.Connection(str(file.path))
    for sql in ("UPDATE rows SET nano_usd = 0", "DELETE FROM rows"):
        with pytest.raises(apsw.ConstraintError, match=r"audit rows are (never changed|deleted only)"):
            connection.execute(sql)
    connection.close()


async def test_no_column_could_hold_a_prompt_or_an_answer(file):
    """A canary: whoever adds a column must say here that it holds no content."""
    async with file.open():
        pass
    columns = {name for (name,) in file.query("SELECT name FROM pragma_table_info('rows')")}
    who = {
        "seq",
        "at_us",
        "epoch",
        "kind",
        "call_id",
        "tenant",
        "key_id",
        "user_pseudonym",
        "session_pseudonym",
        "model",
    }
    what = {"entries", "result", "status", "stream", "upstream", "upstream_model", "attempts", "consent"}
    tokens = {"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"}
    assert columns == who | what | tokens | {"source", "nano_usd", "first_ms", "total_ms", "prev", "hash"}


async def test_the_files_are_for_their_owner_only(file):
    async with file.open():
        assert file.path.stat().st_mode & 0o077 == 0
        assert file.path.with_name("ledger.db-wal").stat().st_mode & 0o077 == 0


async def test_a_folder_that_is_made_for_them_is_its_owner_s_only(tmp_path):
    """Whoever may write to it could put another ledger, or other keys, in the place of ours."""
    before = os.umask(0)
    try:
        async with open_ledger(tmp_path / "new" / "ledger.db", clock=StillClock(), on_alert=print):
            assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    finally:
        os.umask(before)


@pytest.mark.fault("d20-place")
async def test_a_place_that_cannot_hold_a_ledger_is_refused(tmp_path):
    (tmp_path / "a-file").touch()
    with pytest.raises(StoreRefused, match="cannot be made or opened"):
        async with open_ledger(tmp_path / "a-file" / "ledger.db", clock=StillClock(), on_alert=print):
            pass


@pytest.mark.parametrize("kind", ["a lock is refused", "a write fails", "a read fails"])
def test_an_opening_that_fails_leaves_nothing_open(tmp_path, kind):
    """Whoever reports the failure keeps its frames: a connection in them would close, and take its journal
    away, under whoever has tried again meanwhile.
    """
    kept = []
    for nth in range(1, 30):
        folder = tmp_path / str(nth)
        folder.mkdir()
        with Disk(FAULTS[kind], nth) as disk:
            try:
                open_file(folder / "ledger.db", 1).close()
            except StoreRefused as refused:
                kept.append(refused)
        assert not [file for file in open_here() if file.startswith(str(folder))], f"at {nth}"
        if not disk.hits:
            break
    assert len(kept) >= 2


def open_here():
    """The files that this process has open."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(link.readlink())
