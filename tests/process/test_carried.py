"""What a served proxy carries: counted, so that no import creeps in unseen. Each one costs every start.

The processes say themselves, when they end, which modules they have read.
"""

import re
import signal
import subprocess
import sys
from importlib.metadata import packages_distributions

import openai
import pytest

from tests.kit.processes import house

BARE = "import sys; print(*sys.modules)"
TELL = """\
import atexit, pathlib, sys

@atexit.register
def tell():
    text = "\\n".join(sys.modules)
    pathlib.Path({folder!r}, pathlib.Path(sys.argv[1]).name + ".modules").write_text(text)
"""

CARRIED = {
    *("aiohappyeyeballs", "aiosqlite", "apsw", "click", "cryptography", "httptools", "msgspec"),
    *("orjson", "pydantic", "pyyaml", "uvloop"),
    # what these stand on
    *("annotated-types", "cffi", "pydantic-core", "typing-extensions", "typing-inspection"),
}
"""Nothing that knows PostgreSQL, serves the simulator, validates answers or draws on a screen."""

UNUSED_ROOMS = (
    *("proxy.rehearsal", "proxy.simulator.script", "proxy.simulator.server", "proxy.store.postgres"),
    *("proxy.store.pem", "proxy.tracing.spans", "proxy.wire.validating"),
)
MODULES_MAX = 590
"""Of everybody's, Python's own included, beside those that any Python reads at its start."""


def told(folder, command):
    """The modules that a command had read when it ended, beside those that any Python reads."""
    bare = subprocess.run(
        [sys.executable, "-c", BARE], capture_output=True, text=True, check=True, timeout=60
    )
    return set((folder / f"{command}.modules").read_text().split()) - set(bare.stdout.split())


def packages(modules):
    """The packages, but ours, that modules belong to."""
    of = packages_distributions()
    named = {re.sub(r"[-_.]+", "-", each).lower() for name in modules for each in of.get(name, ())}
    return named - {"fallthrough"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a proxy over SQLite was started, asked, and stopped."""
    folder = tmp_path_factory.mktemp("carried")
    (folder / "sitecustomize.py").write_text(TELL.format(folder=str(folder)))
    with house(folder, variables={"PYTHONPATH": str(folder)}) as built:
        with openai.OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as client:
            for stream in (True, False):
                client.chat.completions.create(
                    model="chat", messages=[{"role": "user", "content": "hello"}], stream=stream
                )
        assert built.get("probes", "/metrics")[0] == 200
        assert built.kill("proxy", signal.SIGTERM) == 0
        built.kill("simulator", signal.SIGTERM)
    return folder


def test_a_served_proxy_carries_no_package_that_it_does_not_need(folder):
    assert packages(told(folder, "serve")) == CARRIED


def test_a_served_proxy_carries_no_room_that_it_does_not_use(folder):
    assert not [name for name in told(folder, "serve") if name.startswith(UNUSED_ROOMS)]


def test_a_served_proxy_reads_no_more_modules_than_it_did(folder):
    assert len(told(folder, "serve")) <= MODULES_MAX


def test_who_needs_a_package_has_it(folder):
    """The other side: what is found by name is found."""
    assert "aiohttp" in packages(told(folder, "simulate"))
    assert "rich" in packages(told(folder, "keys"))
