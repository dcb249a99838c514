import pytest

from tests.store.stores import STORES


@pytest.fixture(params=sorted(STORES))
def store(request, tmp_path):
    """Each store in turn; whatever a test did, rows and balances agree when it ends."""
    opened = STORES[request.param](tmp_path)
    yield opened
    assert opened.faults() == ()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """Where a ledger lies: a file, then a database."""
    return tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("database")
