"""Keys: found by digest, shown once, and gone within one refresh when another process revokes them."""

import asyncio
import sqlite3
import subprocess
import sys

import pytest

from proxy.ports import Grant
from proxy.store import StoreRefused, open_keys
from proxy.store.callers import digest_of
from tests.store.making import WALL_US, StillClock

REVOKE = """
import asyncio, sys
from pathlib import Path
from proxy.place import database_of
from proxy.store import open_keys
from tests.store.making import StillClock

async def main():
    async with open_keys(database_of(sys.argv[1]) or Path(sys.argv[1]), clock=StillClock()) as keys:
        assert await keys.revoke(sys.argv[2])

asyncio.run(main())
"""


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
async def keys(place, clock):
    async with open_keys(place, clock=clock) as opened:
        yield opened


@pytest.fixture
async def file(tmp_path, clock):
    """Keys that are surely in a file."""
    async with open_keys(tmp_path / "ledger.db", clock=clock) as opened:
        yield opened


async def test_a_new_key_is_found_by_its_digest(keys):
    key = await keys.create("acme", "laptop")
    assert keys.find(digest_of(key.text)) == Grant(key.key_id, "acme")
    assert keys.find(digest_of(key.text + "0")) is None


async def test_a_key_is_long_fresh_and_never_shown_by_accident(keys):
    first, second = await keys.create("acme"), await keys.create("acme")
    assert first.text.startswith("ft-")
    assert len(bytes.fromhex(first.text.removeprefix("ft-"))) * 8 >= 128
    assert first.text != second.text
    assert first.key_id != second.key_id
    assert first.text not in repr(first)


async def test_only_digests_reach_the_file_and_only_its_owner_reads_it(file, tmp_path):
    key = await file.create("acme")
    content = (tmp_path / "keys.db").read_bytes()
    assert digest_of(key.text) in content
    assert key.text.encode() not in content
    assert bytes.fromhex(key.text.removeprefix("ft-")) not in content
    assert (tmp_path / "keys.db").stat().st_mode & 0o777 == 0o600


async def test_a_revoked_key_is_found_no_more_and_stays_listed(keys, clock):
    key = await keys.create("acme", "laptop")
    clock.now_us += 5
    assert await keys.revoke(key.key_id)
    assert keys.find(digest_of(key.text)) is None
    (record,) = await keys.list()
    assert (record.key_id, record.name, record.revoked_us) == (key.key_id, "laptop", WALL_US + 5)
    assert not await keys.revoke(key.key_id)
    assert not await keys.revoke("key_unknown")


async def test_rotating_keeps_the_id_and_ends_the_old_text(keys):
    old = await keys.create("acme")
    new = await keys.rotate(old.key_id)
    assert new.key_id == old.key_id
    assert keys.find(digest_of(old.text)) is None
    assert keys.find(digest_of(new.text)) == Grant(old.key_id, "acme")
    await keys.revoke(old.key_id)
    assert await keys.rotate(old.key_id) is None
    assert await keys.rotate("key_unknown") is None


class Unwritten(Exception):
    """Whoever asked for a key could not be given it."""


async def test_a_key_is_in_force_only_once_it_was_handed_over(keys):
    handed = []

    def hand_over(key):
        assert keys.find(digest_of(key.text)) is None
        handed.append(key)

    key = await keys.create("acme", hand_over=hand_over)
    new = await keys.rotate(key.key_id, hand_over)
    assert handed == [key, new]
    assert await keys.rotate("key_unknown", hand_over) is None
    assert len(handed) == 2


async def test_a_key_that_cannot_be_handed_over_changes_nothing(keys):
    def fail(key):
        raise Unwritten

    with pytest.raises(Unwritten):
        await keys.create("acme", hand_over=fail)
    assert await keys.list() == ()
    key = await keys.create("acme")
    with pytest.raises(Unwritten):
        await keys.rotate(key.key_id, fail)
    await keys.load()
    assert keys.find(digest_of(key.text)) == Grant(key.key_id, "acme")


async def test_a_key_ends_when_it_expires(keys, clock):
    key = await keys.create("acme", expires_us=clock.now_us + 10)
    clock.now_us += 9
    assert keys.find(digest_of(key.text)) is not None
    clock.now_us += 1
    assert keys.find(digest_of(key.text)) is None


async def test_a_revoke_by_another_process_is_seen_at_the_next_refresh(keys, place):
    key = await keys.create("acme")
    assert not await keys.refresh()
    command = [sys.executable, "-c", REVOKE, getattr(place, "url", str(place)), key.key_id]
    assert await asyncio.to_thread(subprocess.call, command) == 0
    assert await keys.refresh()
    assert keys.find(digest_of(key.text)) is None
    assert not await keys.refresh()


async def test_a_key_made_beside_us_is_found_after_a_refresh(keys, place, clock):
    async with open_keys(place, clock=clock) as other:
        key = await other.create("globex")
    assert keys.find(digest_of(key.text)) is None
    await keys.refresh()
    assert keys.find(digest_of(key.text)) == Grant(key.key_id, "globex")


async def test_a_file_that_is_locked_leaves_known_keys_in_force(file, tmp_path, caplog):
    key = await file.create("acme")
    await file._connection.execute("PRAGMA busy_timeout = 1")
    intruder = sqlite3.connect(tmp_path / "keys.db", isolation_level=None)
    intruder.execute("BEGIN EXCLUSIVE")
    assert not await file.refresh()
    assert "keys cannot be read" in caplog.text
    assert file.find(digest_of(key.text)) is not None
    intruder.execute("UPDATE keys SET revoked_us = 1")
    intruder.execute("COMMIT")
    intruder.close()
    assert await file.refresh()
    assert file.find(digest_of(key.text)) is None


async def test_many_may_make_it_at_once(place, clock):
    async def opened():
        async with open_keys(place, clock=clock) as each:
            return await each.pseudonym("acme", "alice")

    assert len(set(await asyncio.gather(*(opened() for _ in range(8))))) == 1


def other_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()


def newer(path):
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {0x46544B59}")
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.write_bytes(b"no database" * 100), "cannot open it"),
        (other_database, "not a Fallthrough key file"),
        (newer, "newer Fallthrough"),
    ],
    ids=["text", "foreign", "newer"],
)
async def test_a_file_that_is_not_ours_is_refused(tmp_path, clock, make, problem):
    path = tmp_path / "keys.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match=problem):
        async with open_keys(tmp_path / "ledger.db", clock=clock):
            pass
    assert path.read_bytes() == before
