"""What every room's tests may ask for."""

import pytest

from proxy.place import Database
from tests.kit.postgres import Server, running


@pytest.fixture(scope="session")
def postgres() -> Server:
    """A PostgreSQL server of the run's own; without one on this machine the test is skipped and says so."""
    with running() as server:
        yield server


@pytest.fixture
def server() -> Server:
    """A PostgreSQL server of the test's own, which it may stop."""
    with running() as server:
        yield server


@pytest.fixture
def database(postgres) -> Database:
    """A fresh and empty database, gone with its test: hundreds of them would take minutes to remove."""
    made = postgres.database()
    yield made
    postgres.drop(made)
