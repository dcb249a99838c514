"""`config/recipes/multi-tenant.yaml`: what its page promises, one by one."""

import contextlib
import json
import re

import pytest
from openai import AuthenticationError, RateLimitError

from proxy.config import load
from proxy.table import Every, Per, Unit
from tests.kit.processes import eventually
from tests.recipes.cooking import ASK, answered_by

MODEL = "chat"


def is_known(built, key):
    """Whether the running proxy has taken a new key in."""
    with built.client(key) as sdk, contextlib.suppress(AuthenticationError):
        return bool(sdk.models.list())
    return False


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
    key = built.new_key("initech")
    eventually(lambda: is_known(built, key))
    for tokens in (30000, 9000, 7000):
        built.script(f"{{openai: [{{do: {{tokens: {tokens}}}}}]}}")
        ask(built, key, max_completion_tokens=tokens)

    def marks():
        entries = built.rows("SELECT entries FROM rows WHERE kind = 'alert' ORDER BY seq")
        return [entry[4] for (text,) in entries for entry in json.loads(text) if "initech" in entry[0]]

    eventually(lambda: marks() == [75, 90])
    with pytest.raises(RateLimitError) as caught:
        ask(built, key, max_completion_tokens=7000)
    headers = caught.value.response.headers
    assert headers["x-ratelimit-limit-tokens"] == "50000"
    assert 0 < int(headers["x-ratelimit-remaining-tokens"]) < 4000
    assert headers["x-should-retry"] == "false"
    assert answered_by(ask(built, max_completion_tokens=7000)) == "openai"
    counters = json.loads(built.command("limits", "list", "--json"))
    ceilings = {(each["scope"], each["ceiling"]) for each in counters}
    assert ("tenant=initech/tokens/day", 50_000) in ceilings
    assert ("tenant=initech/tokens/month", 1_000_000) in ceilings


def test_the_limits_of_upstreams_are_those_of_the_page(built):
    limits = load(built.config, built.variables).table.limits
    of_upstreams = {each.upstream: (each.ceiling, each.every, each.unit) for each in limits if each.upstream}
    assert of_upstreams == {
        "openai": (500_000, Every.DAY, Unit.TOKENS),
        "anthropic": (300_000, Every.DAY, Unit.TOKENS),
        "gemini": (200_000, Every.DAY, Unit.TOKENS),
    }
    of_tenants = {limit.every: limit.ceiling for limit in limits if limit.per is Per.TENANT}
    assert of_tenants == {Every.DAY: 50_000, Every.MONTH: 1_000_000}


def test_an_upstream_whose_day_is_spent_is_passed_over_and_nobody_is_refused(built):
    """With a day of hardly more than a call: what is spent of it is spent before."""
    whole = built.config.read_text()
    assert whole.count("tokens: 500_000") == 1
    assert answered_by(ask(built)) == "openai"
    try:
        built.config.write_text(whole.replace("tokens: 500_000", "tokens: 2_100"))
        for _ in range(2):
            eventually(lambda: answered_by(ask(built)) == "anthropic")
    finally:
        built.config.write_text(whole)
        eventually(lambda: answered_by(ask(built)) == "openai")


def test_five_failures_open_the_breaker_for_60_seconds_and_it_is_asked_no_more(built):
    assert answered_by(ask(built)) == "openai"
    built.script("openai: [{do: {error: overload}}]")
    tried = [ask(built).headers["x-fallthrough-attempts"] for _ in range(7)]
    assert tried == ["2", "2", "2", "2", "2", "1", "1"]
    assert built.attempts() == [("anthropic", "ok")]
    _, metrics = built.get("probes", "/metrics")
    assert 'fallthrough_breaker_state{upstream="openai"} 2.0' in metrics
    rules = load(built.config, built.variables).table.upstreams["openai"].breaker
    assert (rules.failures, rules.open_s) == (5, 60.0)
    built.afresh()


def test_health_and_statistics_are_told(built):
    ask(built)
    built.settled()
    assert built.get("proxy", "/healthz")[0] == 200
    assert built.get("proxy", "/readyz")[0] == 200
    _, metrics = built.get("probes", "/metrics")
    assert re.search(r'fallthrough_calls_total\{.*error_type="".*upstream="openai".*\} [1-9]', metrics)
    told = json.loads(built.command("usage", "--tenant", "acme", "--json"))["usage"]
    [usage] = [each for each in told if each["upstream"] == "openai"]
    assert usage["ok"] == usage["calls"] >= 1
    assert usage["output_tokens"] > 0


def streamed(built, words):
    """The first words of a stream, as the caller has them."""
    with (
        built.client() as client,
        client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, max_completion_tokens=200
        ) as stream,
    ):
        pieces = (chunk.choices[0].delta.content for chunk in stream if chunk.choices)
        return [piece for _, piece in zip(range(words), filter(None, pieces), strict=False)]


WAYS = {"server-sent events": streamed}
"""How a stream reaches its caller. A WebSocket is one more line here."""


@pytest.mark.parametrize("way", WAYS)
def test_the_first_chunk_does_not_wait_for_the_second(built, way):
    """The upstream says its role and two words, and then nothing: the words are there all the same."""
    built.script("openai: [{do: {tokens: 50, stall: 3}}]")
    assert WAYS[way](built, 2) == [" 1", " 2"]
