"""`config/recipes/plan-and-answer.yaml`: what its page promises, one by one."""

import json

from proxy.config import load
from tests.kit.processes import eventually
from tests.recipes.cooking import ASK, answered_by


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
    built.script("{}")
    assert who(ask(built, "planner")) == ("deepseek", "deepseek-reasoner")


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
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    built.config.write_text("".join(lines))
    eventually(lambda: answered_by(ask(built, "answer")) == "deepseek")


def test_what_each_upstream_costs_is_told_apart(built):
    built.afresh()
    ask(built, "planner")
    built.script("deepseek: [{do: {error: overload}}]")
    ask(built, "planner")
    built.settled()
    told = json.loads(built.command("usage", "--json"))["usage"]
    rows = {row["upstream"]: row for row in told if row["model"] == "planner"}
    assert set(rows) == {"deepseek", "openai"}
    for upstream, (rate_in, rate_out) in {"deepseek": (280, 420), "openai": (2000, 8000)}.items():
        row = rows[upstream]
        assert row["calls"] >= 1
        assert row["nano_usd"] == row["input_tokens"] * rate_in + row["output_tokens"] * rate_out > 0
