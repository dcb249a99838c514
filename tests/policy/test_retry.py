"""Waits: bounded, jittered, short enough or not at all."""

import math
from math import inf

import pytest

from proxy.policy.retry import backoff, clamp, in_place


@pytest.mark.fault("b2-wait")
@pytest.mark.parametrize(
    ("asked", "believed"),
    [
        (None, None), (math.nan, None), (-1.0, 0.0), (-math.inf, 0.0), (0.0, 0.0), (0.25, 0.25),
        (20.0, 20.0), (120.0, 120.0), (121.0, 120.0), (1e9, 120.0), (math.inf, 120.0),
    ],
)  # fmt: skip
def test_retry_after_is_believed_within_bounds(asked, believed):
    assert clamp(asked) == believed


@pytest.mark.fault("b3-backoff")
def test_backoff_is_full_jitter_under_a_doubling_bound():
    assert [backoff(tries, 1.0, first_s=1.0, cap_s=60.0) for tries in range(1, 9)] == [
        1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0,
    ]  # fmt: skip
    assert backoff(3, 0.0, cap_s=60.0) == 0.0
    assert backoff(3, 0.5, first_s=1.0, cap_s=60.0) == 2.0
    assert backoff(10**6, 1.0, cap_s=60.0) == 60.0


@pytest.mark.parametrize(
    ("wait", "deadline", "expected"),
    [(1.0, inf, True), (1.01, inf, False), (0.5, 10.6, True), (0.5, 10.5, False), (0.0, 10.0, False)],
)
def test_only_a_short_wait_inside_the_deadline_is_waited_in_place(wait, deadline, expected):
    assert in_place(10.0 + wait, 10.0, deadline, 1.0) is expected
