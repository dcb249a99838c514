"""Fixtures: two real vLLM servers, and the proxy in front of them as a process of its own.

The servers live as long as the test session. A test may kill the one it asked for; the next test that
asks for it gets it started anew, on the same port.
"""

import os

import pytest

from tests.kit.processes import house
from tests.vllm.engine.install import Unavailable, home, install
from tests.vllm.engine.server import MISTRAL, MIXTRAL, Engine
from tests.vllm.table import table


@pytest.fixture(scope="session")
def engine_home():
    """Where vLLM is installed. Without one the tests are skipped, but never in CI."""
    folder = home()
    try:
        install(folder)
    except Unavailable as reason:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in {"1", "true"} else pytest.skip
        give_up(f"no real vLLM here: {reason}")
    return folder


@pytest.fixture(scope="session")
def engines(engine_home):
    """Both servers, started at once."""
    both = {model: Engine(engine_home, model) for model in (MISTRAL, MIXTRAL)}
    try:
        for engine in both.values():
            engine.start()
        for engine in both.values():
            engine.wait_healthy()
        yield both
    finally:
        for engine in both.values():
            engine.kill()


def alive(engine):
    """The engine, started anew if a test has killed it."""
    if not engine.healthy:
        engine.start()
        engine.wait_healthy()
    return engine


@pytest.fixture
def mistral(engines):
    """A running tiny Mistral, which can call tools."""
    return alive(engines[MISTRAL])


@pytest.fixture
def mixtral(engines):
    """A running tiny Mixtral."""
    return alive(engines[MIXTRAL])


@pytest.fixture(scope="session")
def shared_proxy(engines, tmp_path_factory):
    """One proxy for all tests in which nothing breaks."""
    with house(tmp_path_factory.mktemp("proxy"), table=table(engines)) as built:
        yield built


@pytest.fixture
def proxy(shared_proxy, mistral, mixtral):
    """The shared proxy with both servers well."""
    return shared_proxy


@pytest.fixture
def own_proxy(engines, tmp_path):
    """A proxy of the test's own, whose breakers and ledger nobody else has touched.

    The test asks for the engines it needs itself, so that none is started again for nothing.
    """
    with house(tmp_path, table=table(engines)) as built:
        yield built


def pytest_terminal_summary(terminalreporter):
    """Say why nothing was tried, even to those who did not ask for the reasons of skips."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if "tests/vllm" in report.nodeid
    ]
    for reason in sorted({report.longrepr[2] for report in skipped}):
        terminalreporter.write_line(reason)
