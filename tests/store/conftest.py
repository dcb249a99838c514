import pytest

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
