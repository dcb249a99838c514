"""Metrics: what ends is counted, under names that callers cannot multiply."""

import re

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.call import Attempt, Billed, Identity, Load, Outcome
from proxy.errors import ErrorType
from proxy.holds import COMMIT_BOUNDS_S, Alert, Pulse
from proxy.metrics import Metrics
from proxy.metrics.observer import ATTEMPT_ERRORS, FIRST_S
from proxy.metrics.series import LABEL_VALUES_MAX, SPREADS_MAX, SUMS_MAX, written
from proxy.pauses import Metronome
from proxy.policy.classify import Class
from proxy.server.gate import Why
from proxy.table import Unit
from proxy.usage import Source, Usage
from tests.metrics.reading import known, samples, value, wall_us

USAGE = Usage(input=100, output=20, cached=40, reasoning=5, source=Source.REPORTED)


def outcome(model="gpt-4o", upstream="openai", first_ms=300, **more):
    return Outcome(
        call_id="req_1",
        identity=Identity("acme", "key_1", "p_canary"),
        model=model,
        stream=True,
        status=200,
        result="ok" if more.get("error") is None else "some_code",
        upstream=upstream,
        upstream_model="gpt-4o",
        usage=USAGE,
        nano_usd=2_500_000_000,
        attempts=(),
        started_us=0,
        first_ms=first_ms,
        total_ms=1500,
        **more,
    )


def attempt(result="ok", model="gpt-4o", pauses=(), usage=USAGE, first_ms=300):
    metronome = Metronome()
    for now in pauses:
        metronome.passed(now)
    told = metronome.told() if pauses else None
    return Attempt(
        "openai", model, result, 200, "content", 100, first_ms, 900, Billed.YES, usage, pauses=told
    )


WHERE = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "gpt-4o",
}


def test_a_settled_call_is_counted_with_its_tokens_money_and_times():
    metrics = Metrics(known, wall_us)
    metrics.settled(outcome())
    metrics.settled(outcome())
    where = {"upstream": "openai", "model": "gpt-4o"}
    assert value(metrics, "calls_total", error_type="", **where) == 2
    assert value(metrics, "fallbacks_total", **where) is None
    assert value(metrics, "cost_usd_total", **where) == 5.0
    kinds = {"input": 200, "output": 40, "cached": 80, "reasoning": 10, "cache_write": None}
    for kind, count in kinds.items():
        assert value(metrics, "tokens_total", kind=kind, source="reported", **where) == count
    assert value(metrics, "gen_ai_server_time_to_first_token_seconds_sum", **WHERE) == 0.6
    assert value(metrics, "gen_ai_server_request_duration_seconds_sum", error_type="", **WHERE) == 3.0
    each = value(metrics, "gen_ai_server_time_per_output_token_seconds_sum", **WHERE) / 2
    assert round(each, 6) == round((1.5 - 0.3) / 19, 6)


def test_a_call_without_content_has_no_first_token_and_one_without_upstream_says_none():
    metrics = Metrics(known, wall_us)
    metrics.settled(outcome(error=ErrorType.PROXY_UNAVAILABLE, upstream=None, first_ms=None))
    labels = {"upstream": "none", "model": "gpt-4o"}
    assert value(metrics, "calls_total", error_type="proxy_unavailable", **labels) == 1
    assert not any("first_token" in name and "count" in name for name, _ in samples(metrics))


def test_an_answer_of_another_than_the_first_target_is_a_fallback_and_so_is_what_it_added():
    metrics = Metrics(known, wall_us)
    metrics.settled(outcome(added_s=0.002))
    metrics.settled(outcome(added_s=4.0, fallback=True))
    assert value(metrics, "fallbacks_total", upstream="openai", model="gpt-4o") == 1
    name = "added_time_to_first_token_seconds_sum"
    assert value(metrics, name, fallback="false") == 0.002
    assert value(metrics, name, fallback="true") == 4.0


def test_an_attempt_is_an_operation_with_its_first_chunk_its_pauses_and_its_tokens():
    metrics = Metrics(known, wall_us)
    metrics.attempted(attempt(pauses=(1.0, 1.005, 1.105, 101.105)))
    name = "gen_ai_client_operation"
    assert value(metrics, f"{name}_duration_seconds_sum", error_type="", **WHERE) == 0.8
    assert value(metrics, f"{name}_time_to_first_chunk_seconds_sum", **WHERE) == 0.2
    per_chunk = f"{name}_time_per_output_chunk_seconds"
    assert value(metrics, f"{per_chunk}_count", **WHERE) == 3
    assert round(value(metrics, f"{per_chunk}_sum", **WHERE), 6) == 100.105
    for bound, number in {"0.01": 1, "0.08": 1, "0.16": 2, "81.92": 2, "+Inf": 3}.items():
        assert value(metrics, f"{per_chunk}_bucket", le=bound, **WHERE) == number
    for kind, count in {"input": 100, "output": 20}.items():
        assert value(metrics, "gen_ai_client_token_usage_sum", gen_ai_token_type=kind, **WHERE) == count


def test_an_attempt_that_is_not_streamed_has_no_chunks_and_one_without_usage_no_tokens():
    metrics = Metrics(known, wall_us)
    metrics.attempted(attempt(usage=None))
    told = {name for name, _ in samples(metrics)}
    assert "gen_ai_client_operation_duration_seconds_count" in told
    assert not any("chunk" in name or "token" in name for name in told if name.endswith("_count"))


def test_the_vocabulary_of_errors_is_closed():
    assert {word.value for word in Class} <= ATTEMPT_ERRORS
    metrics = Metrics(known, wall_us)
    for result in (*ATTEMPT_ERRORS, "some code that an upstream made up", "another"):
        metrics.attempted(attempt(result))
    for error in ErrorType:
        metrics.settled(outcome(error=error))
    told = {dict(labels)["error_type"] for _, labels in samples(metrics) if "error_type" in dict(labels)}
    assert told == ATTEMPT_ERRORS | {"_OTHER"} | {error.value for error in ErrorType}


def test_changes_of_breakers_and_alerts_are_counted():
    metrics = Metrics(known, wall_us)
    for state in ("open", "half_open", "open"):
        metrics.breaker("openai", state)
    metrics.alerted(Alert("tenant=acme/tokens/day", 0, 75, 80, 100, Unit.TOKENS))
    assert value(metrics, "breaker_changes_total", upstream="openai", state="open") == 2
    assert value(metrics, "limit_alerts_total", unit="tokens", mark="75") == 1
    assert b"acme" not in metrics.render()


def test_states_of_breakers_and_what_is_closed_are_asked_for_at_each_scrape():
    metrics, states, closed = Metrics(known, wall_us), {"a": "closed", "b": "open"}, {"b": "open"}
    metrics.watch_breakers(lambda: states)
    metrics.watch_closed(lambda: closed)
    assert value(metrics, "breaker_state", upstream="a") == 0
    assert value(metrics, "breaker_state", upstream="b") == 2
    assert value(metrics, "target_closed", target="b", why="open") == 1
    states["b"] = "half_open"
    del closed["b"], states["a"]
    closed["a/gpt-4o"] = "model"
    assert value(metrics, "breaker_state", upstream="b") == 1
    assert value(metrics, "breaker_state", upstream="a") is None
    assert value(metrics, "target_closed", target="b", why="open") is None
    assert value(metrics, "target_closed", target="a/gpt-4o", why="model") == 1


def test_the_ledger_says_how_it_fares():
    metrics = Metrics(known, wall_us)
    counts = [0] * (len(COMMIT_BOUNDS_S) + 1)
    counts[2], counts[-1] = 3, 1
    metrics.watch_ledger(lambda: Pulse(False, 7, tuple(counts), 9.5))
    assert value(metrics, "ledger_up") == 0
    assert value(metrics, "ledger_queue") == 7
    assert value(metrics, "ledger_commit_seconds_count") == 4
    assert value(metrics, "ledger_commit_seconds_sum") == 9.5
    assert value(metrics, "ledger_commit_seconds_bucket", le="0.001") == 0
    assert value(metrics, "ledger_commit_seconds_bucket", le="0.0025") == 3


def test_calls_turned_away_are_counted_from_nothing():
    metrics = Metrics(known, wall_us)
    assert [value(metrics, "shed_calls_total", why=why) for why in Why] == [0, 0]
    for why in (Why.LAG, Why.CALLS, Why.LAG):
        metrics.shed(why)
    assert value(metrics, "shed_calls_total", why="calls") == 1
    assert value(metrics, "shed_calls_total", why="lag") == 2


def test_how_late_the_loop_is_is_asked_for_at_each_scrape():
    metrics, lags = Metrics(known, wall_us), [0.25, 0.0]
    metrics.watch_lag(lambda: lags.pop(0))
    assert value(metrics, "loop_lag_seconds") == 0.25
    assert value(metrics, "loop_lag_seconds") == 0


def test_how_busy_upstreams_say_that_they_are_is_asked_for_at_each_scrape():
    metrics, loads = Metrics(known, wall_us), {"a": (Load(8, 20, 0.5), True), "b": (Load(1, 0), False)}
    metrics.watch_loads(lambda: loads)
    told = {
        name: {each: value(metrics, f"upstream_{name}", upstream=each) for each in "ab"}
        for name in ("requests_running", "requests_waiting", "cache_used_ratio", "saturated")
    }
    assert told == {
        "requests_running": {"a": 8, "b": 1},
        "requests_waiting": {"a": 20, "b": 0},
        "cache_used_ratio": {"a": 0.5, "b": None},
        "saturated": {"a": 1, "b": 0},
    }
    del loads["a"]
    assert value(metrics, "upstream_saturated", upstream="a") is None, "what is not known is not shown"


def test_how_often_an_upstream_did_not_say_how_busy_it_is_is_counted():
    metrics = Metrics(known, wall_us)
    for succeeded in (True, False, True):
        metrics.load_read("a", succeeded)
    assert value(metrics, "load_readings_total", upstream="a", result="ok") == 2
    assert value(metrics, "load_readings_total", upstream="a", result="failed") == 1


def test_calls_in_flight_are_asked_for_at_each_scrape():
    metrics, live = Metrics(known, wall_us), [3, 4]
    metrics.watch_in_flight(lambda: live.pop(0))
    assert value(metrics, "calls_in_flight") == 3
    assert value(metrics, "calls_in_flight") == 4


def test_a_model_that_the_table_does_not_name_is_other():
    metrics = Metrics(lambda model: model == "gpt-4o", wall_us)
    for number in range(10_000):
        metrics.settled(outcome(model=f"canary-{number}"))
    assert value(metrics, "calls_total", error_type="", upstream="openai", model="other") == 10_000
    assert b"canary" not in metrics.render()


@pytest.mark.fault("d18-labels")
def test_no_label_takes_more_than_its_share_of_values():
    metrics = Metrics(known, wall_us)
    for number in range(LABEL_VALUES_MAX * 3):
        metrics.settled(outcome(model=f"m{number}", upstream=f"u{number}"))
    calls = [labels for name, labels in samples(metrics) if name == "fallthrough_calls_total"]
    assert len(calls) == LABEL_VALUES_MAX + 1


def test_no_family_takes_more_than_its_share_of_combinations_and_none_of_the_calls_is_lost():
    metrics = Metrics(known, wall_us)
    for number in range(40 * 40):
        metrics.settled(outcome(model=f"m{number // 40}", upstream=f"u{number % 40}"))
    found = samples(metrics)
    counted = {labels: n for (name, labels), n in found.items() if name == "fallthrough_calls_total"}
    assert len(counted) == SUMS_MAX + 1
    assert sum(counted.values()) == 1600
    name = "gen_ai_server_request_duration_seconds_count"
    timed = {labels: n for (each, labels), n in found.items() if each == name}
    assert len(timed) == SPREADS_MAX + 1
    assert sum(timed.values()) == 1600


def test_two_of_them_do_not_share_a_registry():
    first, second = Metrics(known, wall_us), Metrics(known, wall_us)
    first.settled(outcome())
    assert b"gpt-4o" not in second.render()


def test_edited_tables_are_counted_from_nothing_so_that_the_first_is_seen_as_a_rise():
    metrics = Metrics(known, wall_us)
    assert [value(metrics, "table_reloads_total", result=each) for each in ("taken", "refused")] == [0, 0]
    metrics.reloaded(False)
    assert value(metrics, "table_reloads_total", result="refused") == 1


def lines_about(name, text):
    """The lines of one metric; when its series began is another matter."""
    found = [line for line in text.decode().splitlines() if name in line and "in_flight" not in line]
    return [re.sub(r"(_created\{.*\}) .*", r"\1", line) for line in found]


def test_the_text_is_what_the_library_itself_would_write():
    metrics, registry = Metrics(known, wall_us), CollectorRegistry()
    calls = Counter(
        "fallthrough_calls", "Calls ended.", ("error_type", "upstream", "model"), registry=registry
    )
    name = "gen_ai_server_time_to_first_token_seconds"
    text = "From a call's arrival to its first content."
    first = Histogram(name, text, tuple(WHERE), buckets=FIRST_S, registry=registry)
    empty = metrics.render()
    for metric in ("fallthrough_calls", name):
        assert lines_about(metric, empty) == lines_about(metric, generate_latest(registry))
    for model in ("gpt-4o", 'o"dd\\', "gpt-4o"):
        for first_ms in (0, 50, 51, 1_000, 120_000, 120_001):
            metrics.settled(outcome(model=model, first_ms=first_ms))
            calls.labels("", "openai", model).inc()
            first.labels("chat", "openai", model).observe(first_ms / 1000)
    for metric in ("fallthrough_calls", name):
        assert lines_about(metric, metrics.render()) == lines_about(metric, generate_latest(registry))


@pytest.mark.parametrize(
    "value", [0, 7, 10**15, True, 1_234_567.0, 2.5, 1e-9, 1e22, 123_456_789.5, float("inf"), float("-inf")]
)
def test_a_number_is_written_as_the_library_reads_it(value):
    [family] = text_string_to_metric_families(f"one {written(value)}\n")
    assert family.samples[0].value == value


def test_what_is_no_number_is_written_as_such():
    assert written(float("nan")) == "NaN"


def test_a_series_says_when_it_began():
    metrics = Metrics(known, wall_us)
    metrics.settled(outcome())
    text = metrics.render().decode()
    began = [line.split()[-1] for line in text.splitlines() if "_created{" in line]
    assert set(began) == {"1000.0"}
    assert len(began) == 13
