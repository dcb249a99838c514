"""Metrics: what ends is counted, under names that callers cannot multiply."""

import re

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.call import Attempt, Billed, Identity, Outcome
from proxy.holds import Alert, Balance, Claim, Granted, Spent
from proxy.metrics import FIRST_S, LABEL_VALUES_MAX, Metrics
from proxy.table import Unit
from proxy.usage import Source, Usage


def known(model):
    return True


def wall_us():
    return 1_000_000_000


USAGE = Usage(input=100, output=20, cached=40, reasoning=5, source=Source.REPORTED)


def outcome(model="gpt-4o", result="ok", upstream="openai", first_ms=300):
    return Outcome(
        call_id="req_1",
        identity=Identity("acme", "key_1", "p_canary"),
        model=model,
        stream=True,
        status=200,
        result=result,
        upstream=upstream,
        upstream_model="gpt-4o",
        usage=USAGE,
        nano_usd=2_500_000_000,
        attempts=(),
        started_us=0,
        first_ms=first_ms,
        total_ms=1500,
    )


def samples(metrics):
    text = metrics.render().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def value(metrics, name, **labels):
    return samples(metrics).get((f"fallthrough_{name}", frozenset(labels.items())))


def test_a_settled_call_is_counted_with_its_tokens_money_and_times():
    metrics = Metrics(known, wall_us)
    metrics.settled(outcome())
    metrics.settled(outcome())
    where = {"upstream": "openai", "model": "gpt-4o"}
    assert value(metrics, "calls_total", result="ok", **where) == 2
    assert value(metrics, "cost_usd_total", **where) == 5.0
    kinds = {"input": 200, "output": 40, "cached": 80, "reasoning": 10, "cache_write": None}
    for kind, count in kinds.items():
        got = value(
            metrics,
            "gen_ai_client_token_usage_total",
            gen_ai_token_type=kind,
            source="reported",
            **where,
        )
        assert got == count
    assert value(metrics, "gen_ai_server_time_to_first_token_seconds_sum", **where) == 0.6
    assert value(metrics, "gen_ai_server_request_duration_seconds_sum", result="ok", model="gpt-4o") == 3.0


def test_a_call_without_content_has_no_first_token_and_one_without_upstream_says_none():
    metrics = Metrics(known, wall_us)
    metrics.settled(outcome(result="draining", upstream=None, first_ms=None))
    assert value(metrics, "calls_total", result="draining", upstream="none", model="gpt-4o") == 1
    assert not any("first_token" in name and "count" in name for name, _ in samples(metrics))


def test_attempts_breakers_and_alerts_are_counted():
    metrics = Metrics(known, wall_us)
    metrics.attempted(Attempt("openai", "gpt-4o", "overload", 503, "headers", 0, None, 9, Billed.NO))
    for state, number in (("open", 2), ("half_open", 1), ("closed", 0)):
        metrics.breaker("openai", state)
        assert value(metrics, "breaker_state", upstream="openai") == number
    metrics.alerted(Alert("tenant=acme/tokens/day", 0, 75, 80, 100, Unit.TOKENS))
    assert value(metrics, "attempts_total", upstream="openai", result="overload") == 1
    assert value(metrics, "limit_alerts_total", unit="tokens", mark="75") == 1
    assert b"acme" not in metrics.render()


def test_calls_turned_away_are_counted_from_nothing():
    metrics = Metrics(known, wall_us)
    assert value(metrics, "shed_calls_total") == 0
    metrics.shed()
    assert value(metrics, "shed_calls_total") == 1


def test_calls_in_flight_are_asked_for_at_each_scrape():
    metrics, live = Metrics(known, wall_us), [3, 4]
    metrics.watch_in_flight(lambda: live.pop(0))
    assert value(metrics, "calls_in_flight") == 3
    assert value(metrics, "calls_in_flight") == 4


def test_a_model_that_the_table_does_not_name_is_other():
    metrics = Metrics(lambda model: model == "gpt-4o", wall_us)
    for number in range(10_000):
        metrics.settled(outcome(model=f"canary-{number}"))
    assert value(metrics, "calls_total", result="ok", upstream="openai", model="other") == 10_000
    assert b"canary" not in metrics.render()


@pytest.mark.fault("d18-labels")
def test_no_label_takes_more_than_its_share_of_values():
    metrics = Metrics(known, wall_us)
    for number in range(LABEL_VALUES_MAX * 3):
        metrics.settled(outcome(model=f"m{number}", result=f"r{number}", upstream=f"u{number}"))
    calls = [labels for name, labels in samples(metrics) if name == "fallthrough_calls_total"]
    assert len(calls) == LABEL_VALUES_MAX + 1


def test_two_of_them_do_not_share_a_registry():
    first, second = Metrics(known, wall_us), Metrics(known, wall_us)
    first.settled(outcome())
    assert b"gpt-4o" not in second.render()


def balance(used, held=10, scope="tenant=acme/tokens/day", end=2_000, **claim):
    return Balance(Claim(scope, 0, end, Unit.TOKENS, 10, 100, (), **claim), used, held)


def test_a_refusal_is_counted_and_so_is_one_that_a_shadow_would_have_made():
    metrics = Metrics(known, wall_us)
    metrics.reserved(Spent(balance(95).claim, 95, 0))
    metrics.reserved(Spent(balance(95, upstream="openai").claim, 95, 0))
    over, beneath = balance(95, scope="s/shadow", shadow=True), balance(5, scope="t/shadow", shadow=True)
    metrics.reserved(Granted((balance(90), over, beneath)))
    counted = {
        ("caller", "false"): 1,
        ("upstream", "false"): 1,
        ("caller", "true"): 1,
    }
    for (of, shadow), number in counted.items():
        assert value(metrics, "limit_refusals_total", unit="tokens", of=of, shadow=shadow) == number


def test_what_is_used_of_a_limit_is_shown_while_its_window_runs():
    metrics = Metrics(known, wall_us)
    ended = balance(50, scope="tenant=acme/tokens/minute", end=1_000)
    at_once = Balance(Claim("key=k/streams", 0, 0, Unit.STREAMS, 1, 4, ()), 0, 1)
    metrics.reserved(Granted((balance(20), ended, at_once)))
    metrics.reserved(Granted((balance(30),)))
    assert value(metrics, "limit_used_ratio", scope="tenant=acme/tokens/day") == 0.3
    assert value(metrics, "limit_used_ratio", scope="key=k/streams") == 0.25
    assert value(metrics, "limit_used_ratio", scope="tenant=acme/tokens/minute") is None


def test_counters_of_people_are_not_shown_and_no_number_of_counters_makes_it_grow():
    metrics = Metrics(known, wall_us)
    for number in range(LABEL_VALUES_MAX * 3):
        metrics.reserved(Granted((balance(20, scope=f"tenant=acme/user=canary{number}/tokens/day"),)))
        metrics.reserved(Granted((balance(20, scope=f"user=canary{number}/tokens/day"),)))
    assert b"canary" not in metrics.render()
    for number in range(LABEL_VALUES_MAX * 3):
        metrics.reserved(Granted((balance(20, scope=f"tenant=t{number}/tokens/minute", end=1_000),)))
    metrics.reserved(Granted((balance(20),)))
    assert value(metrics, "limit_used_ratio", scope="tenant=acme/tokens/day") == 0.2
    for number in range(LABEL_VALUES_MAX * 3):
        metrics.reserved(Granted((balance(20, scope=f"tenant=t{number}/tokens/day"),)))
    shown = [labels for name, labels in samples(metrics) if name == "fallthrough_limit_used_ratio"]
    assert len(shown) == LABEL_VALUES_MAX


def lines_about(name, text):
    """The lines of one metric; when its series began is another matter."""
    found = [line for line in text.decode().splitlines() if name in line and "in_flight" not in line]
    return [re.sub(r"(_created\{.*\}) .*", r"\1", line) for line in found]


def test_the_text_is_what_the_library_itself_would_write():
    metrics, registry = Metrics(known, wall_us), CollectorRegistry()
    calls = Counter("fallthrough_calls", "Calls ended.", ("result", "upstream", "model"), registry=registry)
    name = "fallthrough_gen_ai_server_time_to_first_token_seconds"
    text = "From a call's arrival to its first content."
    first = Histogram(name, text, ("upstream", "model"), buckets=FIRST_S, registry=registry)
    empty = metrics.render()
    for metric in ("fallthrough_calls", name):
        assert lines_about(metric, empty) == lines_about(metric, generate_latest(registry))
    for model in ("gpt-4o", 'o"dd\\', "gpt-4o"):
        for first_ms in (0, 50, 51, 1_000, 120_000, 120_001):
            metrics.settled(outcome(model=model, first_ms=first_ms))
            calls.labels("ok", "openai", model).inc()
            first.labels("openai", model).observe(first_ms / 1000)
    for metric in ("fallthrough_calls", name):
        assert lines_about(metric, metrics.render()) == lines_about(metric, generate_latest(registry))


def test_a_series_says_when_it_began():
    metrics = Metrics(known, wall_us)
    metrics.settled(outcome())
    text = metrics.render().decode()
    began = [line.split()[-1] for line in text.splitlines() if "_created{" in line]
    assert set(began) == {"1000.0"}
    assert len(began) == 8
