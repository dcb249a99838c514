"""`config/recipes/multi-tenant.yaml`: what its page promises, one by one."""

import json

import pytest
from openai import RateLimitError

from proxy.config import load
from proxy.table import Every, Per, Unit
from tests.kit.processes import eventually
from tests.recipes.cooking import ASK, answered_by, cooked

MODEL = "chat"
HEAVY = "{openai: [{do: {tokens: 30000}}]}"


@pytest.fixture
def built(tmp_path):
    with cooked("multi-tenant", tmp_path) as opened:
        yield opened


def ask(built, key=None, headers=None, **more):
    with built.client(key) as client:
        return client.chat.completions.with_raw_response.create(
            model=MODEL, messages=ASK, extra_headers=headers, **more
        )


def test_openai_then_anthropic_then_gemini(built):
    assert answered_by(ask(built)) == "openai"
    built.script("openai: [{do: {error: overload}}]")
    assert answered_by(ask(built)) == "anthropic"
    built.script("{openai: [{do: {error: overload}}], anthropic: [{do: {error: server}}]}")
    raw = ask(built)
    assert (answered_by(raw), raw.headers["x-fallthrough-attempts"]) == ("gemini", "3")
    assert built.attempts() == [("openai", "overload"), ("anthropic", "overload"), ("gemini", "ok")]


@pytest.mark.parametrize(
    ("headers", "upstream"),
    [
        ({"X-Preferred-Upstream": "gemini"}, "gemini"),
        ({"X-Preferred-Provider": "anthropic"}, "anthropic"),
        ({"X-Preferred-Model": "gemini-2.5-pro"}, "gemini"),
        ({"X-Preferred-Provider": "nobody", "X-Preferred-Model": "nothing"}, "openai"),
    ],
)
def test_a_call_says_whom_it_would_have_first_and_an_unknown_name_changes_nothing(built, headers, upstream):
    assert answered_by(ask(built, headers=headers)) == upstream


def test_one_that_is_preferred_and_down_is_tried_first_and_the_usual_order_follows(built):
    built.script("gemini: [{do: {error: overload}}]")
    assert answered_by(ask(built, headers={"X-Preferred-Provider": "gemini"})) == "openai"
    assert built.attempts() == [("gemini", "overload"), ("openai", "ok")]


def test_a_tenants_day_is_told_at_75_and_90_and_then_over_for_that_tenant_alone(built):
    built.script(HEAVY)
    ask(built, max_completion_tokens=30000)
    with pytest.raises(RateLimitError) as caught:
        ask(built, max_completion_tokens=30000)
    headers = caught.value.response.headers
    assert headers["x-ratelimit-limit-tokens"] == "50000"
    assert 0 < int(headers["x-ratelimit-remaining-tokens"]) < 20000
    assert headers["x-should-retry"] == "false"
    built.script("{openai: [{do: {tokens: 16000}}]}")
    ask(built, max_completion_tokens=16000)
    marks = eventually(lambda: built.rows("SELECT entries FROM rows WHERE kind = 'alert' ORDER BY seq"))
    assert [mark for mark in (75, 90) if str(mark) in str(marks)] == [75, 90]
    assert answered_by(ask(built, built.new_key("globex"), max_completion_tokens=16000)) == "openai"
    counters = json.loads(built.command("limits", "list", "--json"))
    ceilings = {(each["scope"], each["ceiling"]) for each in counters}
    assert ("tenant=acme/tokens/day", 50_000) in ceilings
    assert ("tenant=acme/tokens/month", 1_000_000) in ceilings


def test_the_limits_of_upstreams_are_those_of_the_page(built):
    limits = load(built.config, built.variables).table.limits
    of_upstreams = {
        limit.upstream: (limit.ceiling, limit.every, limit.unit) for limit in limits if limit.upstream
    }
    assert of_upstreams == {
        "openai": (500_000, Every.DAY, Unit.TOKENS),
        "anthropic": (300_000, Every.DAY, Unit.TOKENS),
        "gemini": (200_000, Every.DAY, Unit.TOKENS),
    }
    of_tenants = {limit.every: limit.ceiling for limit in limits if limit.per is Per.TENANT}
    assert of_tenants == {Every.DAY: 50_000, Every.MONTH: 1_000_000}


def test_an_upstream_whose_day_is_spent_is_passed_over_and_nobody_is_refused(built):
    text = built.config.read_text()
    assert text.count("tokens: 500_000") == 1
    built.config.write_text(text.replace("tokens: 500_000", "tokens: 2_500"))
    built.kill("proxy")
    built.serve()
    built.script("openai: [{do: {tokens: 1900}}]")
    assert answered_by(ask(built)) == "openai"
    assert answered_by(ask(built)) == "anthropic"


def test_five_failures_open_the_breaker_for_60_seconds_and_it_is_asked_no_more(built):
    built.script("openai: [{do: {error: overload}}]")
    for _ in range(5):
        ask(built)
        assert len(built.attempts()) == 2
    ask(built)
    assert built.attempts() == [("anthropic", "ok")]
    _, metrics = built.get("probes", "/metrics")
    assert 'fallthrough_breaker_state{upstream="openai"} 2.0' in metrics
    rules = load(built.config, built.variables).table.upstreams["openai"].breaker
    assert (rules.failures, rules.open_s) == (5, 60.0)


def test_health_and_statistics_are_told(built):
    ask(built)
    built.last()
    assert built.get("proxy", "/healthz")[0] == 200
    assert built.get("proxy", "/readyz")[0] == 200
    _, metrics = built.get("probes", "/metrics")
    assert 'upstream="openai"' in metrics
    [usage] = json.loads(built.command("usage", "--json"))["usage"]
    assert (usage["tenant"], usage["upstream"], usage["calls"], usage["ok"]) == ("acme", "openai", 1, 1)
    assert usage["nano_usd"] > 0


def streamed(built, words: int):
    """The first words of a stream, as the caller has them; what way it came is the one thing to change."""
    with built.client() as client:
        stream = client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, max_completion_tokens=200
        )
        pieces = (chunk.choices[0].delta.content for chunk in stream if chunk.choices)
        return [piece for piece, _ in zip(filter(None, pieces), range(words), strict=False)]


WAYS = {"server-sent events": streamed}
"""How a stream reaches its caller. A WebSocket is one more line here."""


@pytest.mark.parametrize("way", WAYS)
def test_the_first_chunk_does_not_wait_for_the_second(built, way):
    """The upstream says three events (its role, two words) and then nothing: the words are there all the same."""
    built.script("openai: [{do: {tokens: 50, stall: 3}}]")
    assert WAYS[way](built, 2) == [" 1", " 2"]
