import pytest

from tests.kit.processes import house


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """One proxy with its simulated upstreams for all tests of this folder."""
    with house(tmp_path_factory.mktemp("house")) as built:
        yield built


@pytest.fixture
def healthy(running):
    """The running proxy with every simulated upstream well."""
    running.script("{}")
    yield running
    running.script("{}")
