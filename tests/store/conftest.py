from contextlib import AsyncExitStack

import pytest

from proxy.store import open_keys
from tests.store.making import StillClock
from tests.store.replicas import Ledger, Replica
from tests.store.stores import PostgresStore, SqliteStore


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    """Each store in turn; whatever a test did, rows and balances agree when it ends."""
    if request.param == "sqlite":
        opened = SqliteStore(tmp_path)
    else:
        opened = PostgresStore(request.getfixturevalue("database"))
    yield opened
    assert opened.faults() == ()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """Where a ledger lies: a file, then a database."""
    return tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture
def steward():
    return Ledger()


@pytest.fixture
async def join(database, steward):
    """Makes one replica more, that has been heard of."""
    async with AsyncExitStack() as stack:

        async def joined(place=database):
            clock = StillClock()
            replica = Replica(await stack.enter_async_context(open_keys(place, clock=clock)), clock, steward)
            await replica.heed()
            return replica

        yield joined
