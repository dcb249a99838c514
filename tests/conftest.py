"""What every room's tests may ask for."""

import pytest

from proxy.place import Database
from tests.kit.postgres import Server, programs


@pytest.fixture(scope="session")
def postgres() -> Server:
    """A PostgreSQL server of the run's own; without one on this machine the test is skipped and says so."""
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server is installed here (initdb, postgres)")
    server = Server.made(found)
    yield server
    server.remove()


@pytest.fixture
def database(postgres) -> Database:
    """A fresh and empty database, gone with its test: hundreds of them would take minutes to remove."""
    made = postgres.database()
    yield made
    postgres.drop(made)
