"""Every form in which an upstream says how long to wait."""

import pytest

from proxy.wire.anthropic.errors import judge as anthropic_judge
from proxy.wire.errors import judge as openai_judge
from proxy.wire.retry_after import duration, reset, wait

NOW = "Sat, 21 Nov 2026 10:00:00 GMT"
ROWS = [
    ({}, None),
    ({"retry-after": "5"}, 5),
    ({"retry-after": "0"}, 0),
    ({"retry-after": " 5 "}, 5),
    ({"retry-after": "+5"}, 5),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": ".5"}, 0.5),
    ({"retry-after": "3."}, 3),
    ({"retry-after": "86400"}, 86400),
    ({"retry-after": "-1"}, None),
    ({"retry-after": "NaN"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "-inf"}, None),
    ({"retry-after": "1e3"}, None),
    ({"retry-after": "1_000"}, None),
    ({"retry-after": "٣"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "5, 6"}, None),
    ({"retry-after": "5s"}, None),
    ({"retry-after": "9" * 400}, None),
    ({"retry-after-ms": "1500"}, 1.5),
    ({"retry-after-ms": "0.5"}, 0.0005),
    ({"retry-after-ms": "12.25", "retry-after": "9"}, 0.01225),
    ({"retry-after-ms": "x", "retry-after": "9"}, 9),
    ({"retry-after-ms": "-3", "retry-after": "9"}, 9),
    ({"retry-after-ms": "nan"}, None),
    ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": NOW}, 30),
    ({"retry-after": "Saturday, 21-Nov-26 10:00:30 GMT", "date": NOW}, 30),
    ({"retry-after": "Sat Nov 21 10:00:30 2026", "date": NOW}, 30),
    ({"retry-after": "Sat, 21 Nov 2026 12:00:30 +0200", "date": NOW}, 30),
    ({"retry-after": NOW, "date": NOW}, 0),
    ({"retry-after": "Sat, 21 Nov 2026 09:59:59 GMT", "date": NOW}, None),
    ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
    ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "today"}, None),
    ({"retry-after": "Sat, 41 Nov 2026 10:00:30 GMT", "date": NOW}, None),
    ({"retry-after": "Sat, 21 Nov 99999 10:00:30 GMT", "date": NOW}, None),
    ({"x-ratelimit-reset-requests": "5s"}, None),
]
DURATIONS = [
    ("12ms", 0.012),
    ("6s", 6),
    ("1m30.5s", 90.5),
    ("6m0s", 360),
    ("1h2m3s", 3723),
    ("1d", 86400),
    ("8.64s", 8.64),
    ("500us", 0.0005),
    ("500µs", 0.0005),
    ("0s", 0),
    ("7", 7),
    ("1m 30s", None),
    ("-5s", None),
    ("5x", None),
    ("s", None),
    ("", None),
    (None, None),
    ("1" * 80 + "s", None),
]
RESETS = [
    ({}, None),
    ({"x-ratelimit-reset-requests": "5s"}, 5),
    ({"x-ratelimit-reset-requests": "5s", "x-ratelimit-reset-tokens": "1m"}, 60),
    (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "5s",
            "x-ratelimit-remaining-tokens": "100",
            "x-ratelimit-reset-tokens": "1m",
        },
        5,
    ),
    ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "5s"}, None),
    ({"x-ratelimit-reset-requests": "later"}, None),
    ({"anthropic-ratelimit-requests-reset": "2026-11-21T10:00:30Z", "date": NOW}, 30),
    ({"anthropic-ratelimit-requests-reset": "2026-11-21T12:00:30+02:00", "date": NOW}, 30),
    ({"anthropic-ratelimit-requests-reset": "2026-11-21T09:00:00Z", "date": NOW}, 0),
    ({"anthropic-ratelimit-requests-reset": "2026-11-21T10:00:30", "date": NOW}, None),
    ({"anthropic-ratelimit-requests-reset": "2026-11-21T10:00:30Z"}, None),
    ({"anthropic-ratelimit-requests-reset": "30s", "date": NOW}, None),
    (
        {
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-21T10:05:00Z",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2026-11-21T10:00:07Z",
            "date": NOW,
        },
        7,
    ),
    ({"x-ratelimit-remaining-req-minute": "0", "x-ratelimit-limit-req-minute": "60"}, 60),
    ({"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-remaining-req-minute": "5"}, 60),
    ({"x-ratelimit-remaining-tokens-minute": "10"}, None),
]


@pytest.mark.fault("b2-wait")
@pytest.mark.parametrize(("headers", "seconds"), ROWS)
def test_retry_after(headers, seconds):
    assert wait(headers) == seconds


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_durations(text, seconds):
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("headers", "seconds"), RESETS)
def test_the_reset_of_what_is_spent(headers, seconds):
    assert reset(headers) == seconds


@pytest.mark.parametrize(
    ("status", "pause"), [(429, 30), (529, 30), (500, None), (503, None), (400, None), (200, None)]
)
def test_limits_tell_when_to_come_back_only_with_a_refusal_for_load(status, pause):
    headers = {"anthropic-ratelimit-tokens-reset": "2026-11-21T10:00:30Z", "date": NOW}
    for judge in (openai_judge, anthropic_judge):
        assert judge(status, headers, b"{}").retry_after_s == pause
