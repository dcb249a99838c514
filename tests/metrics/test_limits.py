"""What is shown of limits: what they refused, and how much of each is used."""

from proxy.holds import Balance, Claim, Granted, Spent
from proxy.metrics import Metrics
from proxy.metrics.series import LABEL_VALUES_MAX
from proxy.table import Unit
from tests.metrics.reading import known, samples, value, wall_us


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


def test_a_limit_that_is_spent_is_shown_as_spent_though_no_call_ended_on_it():
    metrics = Metrics(known, wall_us)

    def shown(scope="tenant=acme/tokens/day"):
        return value(metrics, "limit_used_ratio", scope=scope)

    metrics.reserved(Granted((balance(85),)))
    metrics.reserved(Spent(balance(0).claim, 88, 10))
    assert shown() == 0.88, "what is held may come back"
    metrics.reserved(Spent(balance(0).claim, 95, 0))
    assert shown() == 1.0
    metrics.reserved(Granted((balance(96, held=1),)))
    assert shown() == 1.0, "a smaller call that finds room changes nothing"
    metrics.reserved(Granted((balance(0),)))
    assert shown() == 0.0, "it was reset"
    metrics.reserved(Granted((balance(95, scope="t/shadow", shadow=True),)))
    assert shown("t/shadow") == 1.0


def test_a_limit_that_was_spent_begins_anew_with_its_window():
    metrics = Metrics(known, wall_us)
    metrics.reserved(Spent(balance(0).claim, 120, 0))
    assert value(metrics, "limit_used_ratio", scope="tenant=acme/tokens/day") == 1.2
    following = Balance(Claim("tenant=acme/tokens/day", 86_400, 3_000, Unit.TOKENS, 10, 100, ()), 91, 10)
    metrics.reserved(Granted((following,)))
    assert value(metrics, "limit_used_ratio", scope="tenant=acme/tokens/day") == 0.91


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
