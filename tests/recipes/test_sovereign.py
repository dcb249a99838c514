"""`config/recipes/sovereign.yaml`: what its page promises, one by one."""

import asyncio
import json
import signal

import aiohttp
import pytest
import yaml
from openai import APIStatusError, NotFoundError

from tests.kit.processes import eventually
from tests.recipes.cooking import ASK, RECIPES, answered_by

ALICE = "alice-4711@example.org"
MODEL = "whatever-it-is-called"


def ask(built, user="somebody", **more):
    with built.client() as client:
        return client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK, user=user, **more)


def test_the_next_of_its_own_models_answers_when_one_is_down(built):
    assert answered_by(ask(built)) == "mixtral"
    built.script("vllm-mixtral: [{do: {error: overload}}]")
    assert answered_by(ask(built)) == "mistral"
    built.script("{vllm-mixtral: [{do: {reset: true}}], vllm-mistral: [{do: {error: server}}]}")
    raw = ask(built)
    assert answered_by(raw) == "llama"
    assert raw.headers["x-fallthrough-model"] == "meta-llama/Llama-3.1-8B-Instruct"


def words(built):
    """A stream to its end."""
    with built.client() as client:
        stream = client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, max_completion_tokens=500
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_a_stream_that_breaks_is_gone_on_with_to_the_last_word(built):
    built.afresh()
    built.script("{vllm-mixtral: [{do: {tokens: 30}}], vllm-mistral: [{do: {tokens: 30}}]}")
    whole = words(built)
    built.script("{vllm-mixtral: [{do: {tokens: 30, cut: 9}}], vllm-mistral: [{do: {tokens: 30}}]}")
    assert words(built) == whole
    assert built.attempts() == [("mixtral", "broken"), ("mistral", "ok")]


def test_no_log_and_no_file_holds_a_prompt_an_answer_or_a_person(built):
    ask(built, user="carol-1742@example.org")
    built.settled()
    built.afresh()
    assert built.traces("canary-prompt", "Simulated answer", "carol-1742") == []


def test_a_person_is_told_all_and_forgotten(built, tmp_path):
    ask(built, user=ALICE)
    ask(built, user="bob")
    built.settled()
    told = tmp_path / "told"
    built.command("ledger", "export", "--tenant", "acme", "--user", ALICE, "--to", str(told))
    rows = [json.loads(line) for line in (told / "rows.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["reserve", "commit"]
    assert json.loads((told / "manifest.json").read_text())["rows"] == 2
    built.command("ledger", "erase", "--tenant", "acme", "--user", ALICE)
    with pytest.raises(AssertionError, match="nobody of this id is known"):
        built.command("ledger", "export", "--tenant", "acme", "--user", ALICE)
    assert "The ledger is whole." in built.command("ledger", "verify")


async def many(built, number):
    body = {"model": MODEL, "messages": ASK, "max_completion_tokens": 5}
    headers = {"authorization": f"Bearer {built.key}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=24)) as session:

        async def one():
            async with session.post(built.base_url + "/chat/completions", json=body) as response:
                assert response.status == 200, await response.text()

        await asyncio.gather(*(one() for _ in range(number)))


@pytest.mark.timeout(120)
def test_old_rows_are_purged_and_sums_stay(built):
    asyncio.run(many(built, 520))
    built.kill("proxy", how=signal.SIGTERM)  # its last head covers all of them
    built.serve()
    before = built.command("usage", "--json")
    built.command("ledger", "prune", "--before", "0m")
    assert built.rows("SELECT min(seq) FROM rows") == [(1025,)]
    assert built.command("usage", "--json") == before
    assert "The ledger is whole." in built.command("ledger", "verify")


ELSEWHERE = """\
  elsewhere:
    base_url: ${OPENAI_BASE_URL}
    api_key: ${OPENAI_API_KEY}

routes:
  - model: abroad
    targets: [elsewhere/gpt-4o]
"""


def test_an_upstream_elsewhere_would_need_the_persons_consent(built):
    def abroad(consent):
        with built.client() as client:
            return client.chat.completions.with_raw_response.create(
                model="abroad", messages=ASK, extra_headers={"x-user-consent": consent}
            )

    built.config.write_text(built.config.read_text().replace("\nroutes:\n", ELSEWHERE))
    eventually(lambda: answered_by(abroad("true")) == "elsewhere")
    with pytest.raises(APIStatusError) as caught:
        abroad("false")
    assert not isinstance(caught.value, NotFoundError)
    assert (caught.value.status_code, caught.value.code) == (403, "consent_required")


def test_every_upstream_is_in_the_house_and_names_the_licence_of_its_model():
    upstreams = yaml.safe_load((RECIPES / "sovereign.yaml").read_text())["upstreams"]
    for upstream in upstreams.values():
        assert "self-hosted" in upstream["tags"]
    licences = [tag for each in upstreams.values() for tag in each["tags"] if tag.startswith("licence:")]
    assert licences == ["licence:Apache-2.0", "licence:Apache-2.0", "licence:Llama-3.1-Community"]
