"""A proxy that has seen a bit of everything, for all who ask whether what they name is really there."""

import http.client
import json
from contextlib import closing
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.processes import House, eventually, house

LIMITS = """\
limits:
  - {per: tenant, requests: 100, every: day, alert: [1]}
  - {tenant: other, requests: 1, every: day}
"""
FIRST_IS_DEAD = "first: [{do: {error: overload}}]"


@dataclass(frozen=True)
class Scrape:
    """What a running proxy says of itself."""

    house: House
    text: str

    @property
    def families(self):
        return tuple(text_string_to_metric_families(self.text))

    @property
    def samples(self) -> dict[str, set[str]]:
        """The labels of every sample, by its name; bounds aside."""
        return {
            sample.name: set(sample.labels) - {"le"} for family in self.families for sample in family.samples
        }


def ask(built: House, key: str, **members) -> int:
    """One call; its status."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], **members}
    with closing(http.client.HTTPConnection("127.0.0.1", built.ports["proxy"], timeout=20)) as line:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        line.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = line.getresponse()
        answer.read()
        return answer.status


@pytest.fixture(scope="session")
def scrape(tmp_path_factory):
    """After streamed and whole calls, a dead upstream, a spent limit, an edit taken and one refused."""
    with house(tmp_path_factory.mktemp("scraped"), extra=LIMITS) as built:
        other = built.new_key("other")
        assert [ask(built, built.key), ask(built, built.key, stream=True)] == [200, 200]
        assert eventually(lambda: ask(built, other) in {200, 429})
        assert ask(built, other) == 429
        assert ask(built, built.key, max_tokens="many") == 400
        built.script(FIRST_IS_DEAD)
        for _ in range(8):
            assert ask(built, built.key, stream=True) == 200
        table = built.config.read_text()
        edit(built, table + "\n", "taken")
        edit(built, table + "nonsense: 1\n", "refused")
        status, text = built.get("probes", "/metrics")
        assert status == 200
        yield Scrape(built, text)


def edit(built: House, table: str, result: str) -> None:
    """Edit the table and wait until that is told."""
    fresh = built.folder / "proxy.new"
    fresh.write_text(table)
    fresh.rename(built.config)
    line = f'fallthrough_table_reloads_total{{result="{result}"}} 1.0'
    eventually(lambda: line in built.get("probes", "/metrics")[1])
