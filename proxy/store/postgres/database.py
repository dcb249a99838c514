"""A connection to PostgreSQL as every user of it here must have it, and the tables made when missing.

Raises `StoreRefused` where the server or the database cannot keep what the ledger promises, with what to
do about it. What goes wrong later is one of `FAILURES`.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from importlib.resources import files

import asyncpg

from proxy.place import Database
from proxy.store.fault import StoreRefused

log = logging.getLogger("proxy.ledger")

FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What the driver says when a server that ends speaks out of turn.
    asyncpg.InternalClientError,
    OSError,
    asyncio.TimeoutError,
)
"""Whatever a server, or the way to it, may do to a statement."""

UNREADABLE = (ValueError, OverflowError, IndexError)
"""What the driver makes of an address that is none."""

OLDEST_SERVER = 130_000
"""As `server_version_num` tells it: 13 is the oldest that its makers still looked after in 2025."""

CONNECT_S = 5.0
STATEMENT_S = 8.0
"""A server that says nothing for so long is taken for lost: sooner than this replica is by others."""
READING_S = 900.0
"""For who reads a whole ledger."""

LEDGER, KEYS = "fallthrough", "fallthrough_keys"
"""The two schemas."""

MAKING = 0x46544C47
"""The advisory lock under which tables are made, so that two replicas may start at once."""

MANNERS: Mapping[str, str] = {
    "application_name": "fallthrough",
    "timezone": "UTC",
    "jit": "off",
    # A replica that was stopped in the middle of a transaction must not stop all others.
    "idle_in_transaction_session_timeout": "8s",
    "lock_timeout": "5s",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
}


async def connect(database: Database, schema: str, statement_s: float = STATEMENT_S) -> asyncpg.Connection:
    """A connection whose unqualified names are those of one schema. Raises one of `FAILURES`."""
    manners = {**MANNERS, "search_path": schema, "synchronous_commit": "on"}
    return await asyncpg.connect(
        database.url, timeout=CONNECT_S, command_timeout=statement_s, server_settings=manners
    )


async def prepare(database: Database) -> None:
    """Make both schemas and all tables, or bring them up to date; all or nothing. Raises `StoreRefused`."""
    try:
        connection = await connect(database, LEDGER)
        try:
            await _refuse_unfit(connection, database)
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", MAKING)
                for schema in (LEDGER, KEYS):
                    await _migrate(connection, database, schema)
        finally:
            await connection.close(timeout=CONNECT_S)
    except (*FAILURES, *UNREADABLE) as error:
        raise unreachable(database, error) from error


def unreachable(database: Database, error: Exception) -> StoreRefused:
    """For whoever cannot go on without it."""
    return StoreRefused(
        database, f"PostgreSQL cannot be used ({words_of(error)})", "see to the server or its URL"
    )


def words_of(error: Exception) -> str:
    """What an error says, or its name where it says nothing, as a timeout does."""
    return str(error) or type(error).__name__


def migrations(schema: str) -> tuple[tuple[int, str], ...]:
    """The numbered scripts of one schema (`sql/<schema>-NNN.sql`), in order."""
    found = []
    for script in (files("proxy.store.postgres") / "sql").iterdir():
        matched = re.fullmatch(rf"{schema}-(\d{{3}})\.sql", script.name)
        if matched:
            found.append((int(matched[1]), script.read_text("utf-8")))
    return tuple(sorted(found))


def refuse_newer(database: Database, schema: str, version: int) -> None:
    known = migrations(schema)[-1][0]
    if version > known:
        problem = f"written by a newer Fallthrough (schema {version}, this one knows {known})"
        raise StoreRefused(database, problem, "run that version or newer")


async def _refuse_unfit(connection: asyncpg.Connection, database: Database) -> None:
    told = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),"
        " current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes')"
    )
    version, standby, encoding, fsync, pages = tuple(told or ())
    if version < OLDEST_SERVER:
        raise StoreRefused(database, f"PostgreSQL {version // 10000} is too old", "use 13 or newer")
    if standby:
        raise StoreRefused(database, "this server is a standby, which takes no writes", "name the primary")
    if encoding != "UTF8":
        raise StoreRefused(database, f"its encoding is {encoding}", "create a database with ENCODING 'UTF8'")
    if "off" in {fsync, pages}:
        log.warning("%s does not flush its disk (fsync or full_page_writes off): rows may be lost", database)


async def _migrate(connection: asyncpg.Connection, database: Database, schema: str) -> None:
    # Only where it is missing, for asking needs a right that may have been taken back since.
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema):
        await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.execute(f"SET LOCAL search_path TO {schema}")
    await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)")
    version = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version")
    refuse_newer(database, schema, version)
    for number, script in migrations(schema):
        if number > version:
            await connection.execute(script)
            await connection.execute("INSERT INTO schema_version VALUES ($1)", number)
