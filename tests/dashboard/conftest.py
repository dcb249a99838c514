"""A proxy with something to show, and a browser to show it in."""

import contextlib
import http.client
import json
from contextlib import asynccontextmanager

import pytest

from tests.kit.chromium import opened, running
from tests.kit.processes import House, eventually, house

TABLE = """\
settings:
  listen: 127.0.0.1:{proxy}
  admin: 127.0.0.1:{admin}
  probes: 127.0.0.1:{probes}
  ledger: sqlite:///{folder}/ledger.db
upstreams:
  first:
    dialect: openai
    base_url: http://127.0.0.1:{simulator}/first/v1
    api_key: sk-canary-of-the-operator
    breaker: {{failures: 2, open: 60s}}
  vllm:
    dialect: vllm
    base_url: http://127.0.0.1:{simulator}/vllm/v1
  missing:
    dialect: openai
    base_url: http://127.0.0.1:{simulator}/missing/v1
    api_key: ${{A_KEY_THAT_IS_NOT_SET}}
routes:
  - model: "*"
    retry: {{attempts: 1}}
    targets: [first/gpt-4o-mini, vllm/mixtral, missing/gpt-4o]
limits:
  - {{per: tenant, tokens: 100_000, every: day, alert: [75, 90]}}
  - {{per: tenant, usd: 20, every: month}}
  - {{per: key, requests: 4, every: hour}}
prices:
  first/*: {{input: 150, output: 600}}
  "*": {{input: 0, output: 0}}
"""
BROKEN = "first: [{do: {status: 503}}]"
HOSTILE = "<img src=x onerror='window.hacked=1'>"
"""A name that must never be more than text."""


@pytest.fixture(scope="session")
def chromium():
    """A browser of the run's own."""
    with running() as browser:
        yield browser


@pytest.fixture
def served(tmp_path):
    """A proxy of the test's own."""
    with house(tmp_path, table=TABLE) as built:
        yield built


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """One to which everything has happened: calls, an outage, alerts, faults in the edited table."""
    with house(tmp_path_factory.mktemp("busy"), table=TABLE) as built:
        assert ask(built) == 200
        built.script(BROKEN)
        assert {ask(built) for _ in range(2)} == {200}
        other = built.new_key("globex")
        eventually(lambda: ask(built, other, model=HOSTILE) == 200)
        good = built.config.read_text()
        built.config.write_text(
            good.replace("retry:", f'"{HOSTILE}":').replace("every: month", "every: moon")
        )
        eventually(lambda: "2 faults" in built.get("probes", "/readyz")[1])
        yield built


@asynccontextmanager
async def watching(chromium: str, built: House):
    """Its dashboard, as somebody sees it."""
    async with opened(chromium, f"http://127.0.0.1:{built.ports['admin']}/") as shown:
        await shown.until("document.querySelectorAll('[data-rows=upstreams] tbody tr').length")
        yield shown


@pytest.fixture
async def page(chromium, served):
    async with watching(chromium, served) as shown:
        yield shown


@pytest.fixture
async def full(chromium, busy):
    """The dashboard of a proxy to which everything has happened."""
    async with watching(chromium, busy) as shown:
        await shown.until("document.querySelectorAll('[data-rows=calls] tbody tr').length >= 4")
        yield shown


def ask(built: House, key: str | None = None, model: str = "chat", **more) -> int:
    """One call; its status."""
    body = {"model": model, "messages": [{"role": "user", "content": "canary-prompt"}], "max_tokens": 9}
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", built.ports["proxy"], timeout=20)
    ) as line:
        headers = {"authorization": f"Bearer {key or built.key}", "content-type": "application/json"}
        line.request("POST", "/v1/chat/completions", json.dumps(body | more), headers)
        answer = line.getresponse()
        answer.read()
        return answer.status
