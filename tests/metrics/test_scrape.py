"""Several workers' metrics as one text."""

from prometheus_client.parser import text_string_to_metric_families

from proxy.call import Load
from proxy.holds import COMMIT_BOUNDS_S, Pulse
from proxy.metrics import Metrics
from proxy.metrics.scrape import merged
from tests.store.making import settlement


def worker(calls, *, breaker="closed", at_s=100, well=True):
    """The metrics of a worker that ended so many calls."""
    made = Metrics(lambda _: True, lambda: at_s * 1_000_000)
    for number in range(calls):
        made.settled(settlement(f"c{number}").outcome)
    made.watch_breakers(lambda: {"vllm": breaker})
    made.watch_ledger(lambda: Pulse(well, calls, (0,) * (len(COMMIT_BOUNDS_S) + 1), 0.0))
    made.watch_in_flight(lambda: calls)
    made.watch_lag(lambda: calls / 8)
    made.watch_loads(lambda: {"vllm": (Load(calls, calls, calls / 8), calls > 3)})
    return made.render()


def found(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def one(samples, name):
    (value,) = [value for (each, _), value in samples.items() if each == name]
    return value


def test_counts_and_calls_in_flight_are_added_and_states_are_the_worst():
    samples = found(merged([worker(3), worker(4, breaker="open", at_s=50), worker(0, well=False)]))
    assert one(samples, "fallthrough_calls_total") == 7
    assert one(samples, "fallthrough_calls_in_flight") == 7
    assert one(samples, "fallthrough_breaker_state") == 2
    assert one(samples, "fallthrough_ledger_up") == 0
    assert one(samples, "fallthrough_ledger_queue") == 7
    assert one(samples, "fallthrough_calls_created") == 50, "since the first of them"
    assert one(samples, "fallthrough_workers") == 3


def test_what_each_sees_of_one_thing_is_the_most_that_any_sees():
    samples = found(merged([worker(3), worker(4), worker(0)]))
    told = ("requests_running", "requests_waiting", "cache_used_ratio", "saturated")
    assert [one(samples, f"fallthrough_upstream_{name}") for name in told] == [4, 4, 0.5, 1]
    assert one(samples, "fallthrough_loop_lag_seconds") == 0.5


def test_a_histogram_stays_one():
    samples = found(merged([worker(3), worker(4)]))
    name = "gen_ai_server_request_duration_seconds"
    assert one(samples, f"{name}_count") == 7
    buckets = [value for (each, _), value in samples.items() if each == f"{name}_bucket"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 7


def test_of_a_worker_that_is_gone_what_it_counted_is_kept_and_no_state():
    samples = found(merged([worker(3)], gone=[worker(4, breaker="open", at_s=50, well=False), b""]))
    assert one(samples, "fallthrough_calls_total") == 7
    assert one(samples, "gen_ai_server_request_duration_seconds_count") == 7
    assert one(samples, "fallthrough_calls_created") == 50
    assert one(samples, "fallthrough_calls_in_flight") == 3
    assert one(samples, "fallthrough_breaker_state") == 0
    assert one(samples, "fallthrough_ledger_up") == 1
    assert one(samples, "fallthrough_workers") == 1


def test_one_worker_alone_says_what_it_would_say_by_itself():
    alone = worker(2)
    samples = found(merged([alone]))
    assert samples.pop(("fallthrough_workers", ())) == 1
    assert samples == found(alone)
