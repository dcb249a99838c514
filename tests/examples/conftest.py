"""The quickstart in three states, each for all tests that need it."""

import pytest

from tests.examples.quickstart import FIRST_DEAD, opened
from tests.kit.processes import free_ports


@pytest.fixture(scope="session")
def well(tmp_path_factory):
    """As `make run` serves it: any key will do."""
    with opened(tmp_path_factory.mktemp("well")) as built:
        yield built


@pytest.fixture(scope="session")
def page_port():
    """Where a page stands that may ask the one with the dead upstream."""
    return free_ports(1)[0]


@pytest.fixture(scope="session")
def first_dead(tmp_path_factory, page_port):
    """As `make run SCRIPT=config/scripts/first-dead.yaml` serves it, with keys."""
    settings = f"auth: keys\n  origins: ['http://127.0.0.1:{page_port}']"
    with opened(tmp_path_factory.mktemp("dead"), table=settings, broken_by=FIRST_DEAD) as built:
        yield built


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """One whose upstreams are broken by and by."""
    with opened(tmp_path_factory.mktemp("shaky")) as built:
        yield built


@pytest.fixture
def shaky(served):
    """One whose upstreams a test may break; well again behind it."""
    yield served
    served.script("{}")
