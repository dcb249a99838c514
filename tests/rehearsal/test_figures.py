"""The arithmetic of a verdict, by tables."""

import pytest

from proxy.rehearsal.figures import figures, percentiles, troubles
from proxy.rehearsal.grammar import ExpectPart
from proxy.rehearsal.record import Visit
from proxy.rehearsal.verdict import percent, usd, verdict
from proxy.usage import Usage


def visit(at=0.0, result="whole", upstream="a", **members):
    told = {"first_s": 0.5, "added_s": 0.0, "nano_usd": 0, "usage": Usage(10, 20)} | members
    return Visit(at, "m", result, upstream if result == "whole" else None, **told)


def day(written):
    """`w` whole, `x` failed, `b` broken, one call each; a blank is a second in which nobody called."""
    results = {"w": "whole", "x": "all_failed", "b": "broken", "l": "left"}
    seconds = enumerate(written.split(","))
    return [visit(second, results[one]) for second, calls in seconds for one in calls.strip()]


@pytest.mark.parametrize(
    ("written", "outage", "impaired"),
    [
        ("w,w,w", 0, 0),
        ("w,x,w", 1, 1),
        ("w,wx,w", 0, 1),
        ("ww,xb,l,w", 2, 2),
        ("x,,,x", 2, 2),
        ("wx,wb,wl,b", 1, 4),
    ],
)
def test_an_outage_is_a_second_in_which_nobody_who_came_was_served(written, outage, impaired):
    came = figures(day(written))
    assert (came.outage_s, came.impaired_s) == (outage, impaired)


def test_every_call_is_counted_once():
    calls = [
        visit(upstream="a", nano_usd=5),
        visit(upstream="b", nano_usd=7),
        visit(upstream="b"),
        visit(result="broken"),
        visit(result="left", first_s=None),
        visit(result="garbled"),
        visit(result="all_failed", first_s=None, usage=Usage()),
        visit(result="all_failed", first_s=None, usage=Usage()),
    ]
    came = figures(calls)
    assert (came.calls, came.whole, came.broken, came.left) == (8, 3, 1, 1)
    assert came.failed == {"all_failed": 2, "garbled": 1}
    assert came.calls == came.whole + came.broken + came.left + came.failures
    assert list(came.answered.items()) == [("b", 2), ("a", 1)]
    assert (came.nano_usd, came.input_tokens, came.output_tokens) == (12, 60, 120)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([3.0], {"p50": 3.0, "p90": 3.0, "p95": 3.0, "p99": 3.0, "max": 3.0}),
        ([None, 1.0, None, 2.0], {"p50": 1.0, "p90": 2.0, "p95": 2.0, "p99": 2.0, "max": 2.0}),
        (range(100, 0, -1), {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}),
        (range(1, 1001), {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "max": 1000}),
    ],
)
def test_a_percentile_is_a_value_that_was_there(values, expected):
    assert percentiles(values) == expected


def test_trouble_that_pauses_for_a_few_seconds_is_one_trouble():
    assert troubles(day("w,x,w,w,bb,w,w,w,w,w,w,x")) == ((1, 4, 3), (11, 11, 1))
    assert troubles(day("w,w")) == ()


EIGHT = (
    *day("ww,ww,b"),
    visit(3, upstream="b", added_s=2.0, nano_usd=12),
    visit(3, upstream="b"),
    visit(3, "all_failed", first_s=None, added_s=None),
)
"""Six whole answers, two of them by `b`; a second of outage, and one in which one of three failed."""


@pytest.mark.parametrize(
    ("expected", "got", "met"),
    [
        ({"whole": ">= 75%"}, "75.00%", True),
        ({"whole": ">= 76%"}, "75.00%", False),
        ({"failed": "<= 12.5%"}, "12.50%", True),
        ({"broken": "<= 0%"}, "12.50%", False),
        ({"left": "<= 0%"}, "0.00%", True),
        ({"outage": "<= 1s"}, "1s", True),
        ({"impaired": "< 2s"}, "2s", False),
        ({"cost": "<= 0.000000012"}, "0.0000", True),
        ({"cost": "< 0.000000012"}, "0.0000", False),
        ({"first": {"p95": "<= 500ms"}}, "0.500s", True),
        ({"added": {"max": "< 2s"}}, "2.000s", False),
        ({"answered": {"b": "> 30%"}}, "33.33%", True),
        ({"answered": {"nobody": "> 0%"}}, "0.00%", False),
        ({"never": "all_failed"}, "1", False),
        ({"never": ["insufficient_quota"]}, "0", True),
    ],
)
def test_an_expectation_is_met_or_not(expected, got, met):
    (check,) = verdict(ExpectPart.model_validate(expected), figures(EIGHT))
    assert (check.got, check.met) == (got, met)


def test_where_nobody_called_nothing_is_met():
    everything = {
        "whole": ">= 0%",
        "failed": "<= 100%",
        "outage": "<= 9s",
        "cost": "<= 9",
        "first": {"p50": "<= 9s"},
        "answered": {"a": ">= 0%"},
        "never": "broken",
    }
    checks = verdict(ExpectPart.model_validate(everything), figures([]))
    assert [check.met for check in checks] == [False] * 7


@pytest.mark.parametrize(
    ("part", "shown"),
    [(1.0, "100.00%"), (0.99999, "99.99%"), (0.0, "0.00%"), (0.00001, "0.01%"), (1 / 3, "33.33%")],
)
def test_almost_all_is_not_shown_as_all(part, shown):
    assert percent(part) == shown


def test_money_is_shown_without_a_float():
    assert usd(1_234_567_890_123_456_789) == "1234567890.1234"
