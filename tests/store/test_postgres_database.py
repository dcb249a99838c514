"""What a PostgreSQL database must be, and what is made in it."""

import asyncio
from contextlib import closing

import pytest

from proxy.place import Database
from proxy.store import StoreRefused
from proxy.store.postgres.database import KEYS, LEDGER, connect, prepare
from proxy.store.postgres.session import Session

SETTINGS = ("default_transaction_isolation", "statement_timeout", "synchronous_commit")


async def test_tables_are_made_once_however_many_replicas_start_at_once(database):
    await asyncio.gather(*(prepare(database) for _ in range(4)))
    connection = await connect(database, LEDGER)
    assert await connection.fetchval("SELECT epoch FROM state") == 0
    assert await connection.fetchval(f"SELECT count(*) FROM {KEYS}.schema_version") == 1
    await connection.close()


async def test_a_newer_schema_is_refused(database):
    await prepare(database)
    connection = await connect(database, LEDGER)
    await connection.execute("INSERT INTO schema_version VALUES (99)")
    await connection.close()
    with pytest.raises(StoreRefused, match=r"newer Fallthrough \(schema 99"):
        await prepare(database)


async def test_a_server_that_is_not_there_is_refused_and_its_password_is_not_told(tmp_path):
    away = Database(f"postgresql://proxy:hunter2@/ledger?host={tmp_path}&password=hunter3")
    with pytest.raises(
        StoreRefused, match=r"postgresql://proxy@/ledger.*PostgreSQL cannot be used"
    ) as caught:
        await prepare(away)
    assert "hunter" not in str(caught.value) + repr(away)


async def test_what_the_database_is_set_to_by_default_changes_nothing_here(database):
    await prepare(database)
    connection = await connect(database, LEDGER)
    name = await connection.fetchval("SELECT current_database()")
    for setting in ("default_transaction_isolation = 'serializable'", "statement_timeout = '1ms'"):
        await connection.execute(f"ALTER DATABASE {name} SET {setting}")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.close()
    connection = await connect(database, LEDGER)
    told = [await connection.fetchval(f"SHOW {name}") for name in SETTINGS]
    await connection.close()
    assert told == ["read committed", "0", "on"]


def test_of_an_address_only_what_holds_no_secret_is_shown():
    url = "postgresql://me:hunter1@h/d?host=a&sslmode=require&sslpassword=hunter2&passfile=x&password=hunter3"
    assert str(Database(url)) == "postgresql://me@h/d?host=a&sslmode=require"


async def test_another_encoding_is_refused(postgres):
    database = postgres.database("-E", "LATIN1", "--locale=C")
    with pytest.raises(StoreRefused, match="encoding is LATIN1"):
        await prepare(database)


def test_rows_can_be_neither_changed_nor_deleted(database):
    asyncio.run(prepare(database))
    with closing(Session(database, LEDGER)) as session:
        session.execute(
            "INSERT INTO rows (seq, at_us, epoch, kind, call_id, tenant, key_id, model, entries, prev, hash)"
            " VALUES (1, 0, 1, 'reserve', 'c1', 't', 'k', 'm', '[]', '', decode(repeat('00', 32), 'hex'))"
        )
        for sql in ("UPDATE rows SET nano_usd = 0", "DELETE FROM rows", "TRUNCATE rows CASCADE"):
            with pytest.raises(Exception, match=r"never allowed|deleted only"):
                session.execute(sql)
