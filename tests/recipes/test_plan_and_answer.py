"""`config/recipes/plan-and-answer.yaml`: what its page promises, one by one."""

import json

import pytest

from proxy.config import load
from tests.kit.processes import eventually
from tests.recipes.cooking import ASK, answered_by, cooked


@pytest.fixture
def built(tmp_path):
    with cooked("plan-and-answer", tmp_path) as opened:
        yield opened


def ask(built, model):
    with built.client() as client:
        return client.chat.completions.with_raw_response.create(model=model, messages=ASK)


def who(raw):
    return raw.headers["x-fallthrough-upstream"], raw.headers["x-fallthrough-model"]


def test_planning_and_answering_have_models_of_their_own(built):
    assert who(ask(built, "planner")) == ("deepseek", "deepseek-reasoner")
    assert who(ask(built, "answer")) == ("deepseek", "deepseek-chat")


def test_openai_answers_with_its_own_two_when_deepseek_is_down(built):
    built.script("deepseek: [{do: {reset: true}}]")
    assert who(ask(built, "planner")) == ("openai", "gpt-4.1")
    assert who(ask(built, "answer")) == ("openai", "gpt-4o-mini")


def test_after_60_seconds_an_upstream_is_too_slow(built):
    upstreams = load(built.config, built.variables).table.upstreams
    for name in ("deepseek", "openai"):
        assert (upstreams[name].timeouts.first_token_s, upstreams[name].timeouts.whole_s) == (60.0, 60.0)


def test_two_swapped_lines_are_the_way_back_and_in_force_at_once(built):
    assert answered_by(ask(built, "answer")) == "deepseek"
    lines = built.config.read_text().splitlines(keepends=True)
    first = next(at for at, line in enumerate(lines) if "deepseek/deepseek-chat" in line)
    assert "openai/gpt-4o-mini" in lines[first + 1]
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    built.config.write_text("".join(lines))
    eventually(lambda: answered_by(ask(built, "answer")) == "openai")
    assert answered_by(ask(built, "planner")) == "deepseek", "the other route was not touched"


def test_what_each_upstream_costs_is_told_apart(built):
    ask(built, "answer")
    built.script("deepseek: [{do: {error: overload}}]")
    ask(built, "answer")
    built.last()
    rows = json.loads(built.command("usage", "--json"))["usage"]
    costs = {
        row["upstream"]: (row["calls"], row["nano_usd"], row["input_tokens"], row["output_tokens"])
        for row in rows
    }
    assert set(costs) == {"deepseek", "openai"}
    for upstream, (rate_in, rate_out) in {"deepseek": (280, 420), "openai": (150, 600)}.items():
        calls, nano_usd, tokens_in, tokens_out = costs[upstream]
        assert calls == 1
        assert nano_usd == tokens_in * rate_in + tokens_out * rate_out
