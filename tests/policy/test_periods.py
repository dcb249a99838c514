"""Windows: every moment is in one, and they meet."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.periods import window
from proxy.table import Every


def micros(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("every", "at", "start", "end"),
    [
        ("minute", "2026-11-21T10:15:59.999999", "2026-11-21T10:15", "2026-11-21T10:16"),
        ("minute", "2026-11-21T10:16", "2026-11-21T10:16", "2026-11-21T10:17"),
        ("day", "2026-11-21T23:59:59.999999", "2026-11-21", "2026-11-22"),
        ("day", "2026-11-22", "2026-11-22", "2026-11-23"),
        ("day", "2028-02-29T12:00", "2028-02-29", "2028-03-01"),
        ("month", "2026-12-31T23:59:59.999999", "2026-12-01", "2027-01-01"),
        ("month", "2027-01-01", "2027-01-01", "2027-02-01"),
        ("month", "2028-02-29T23:59", "2028-02-01", "2028-03-01"),
        ("month", "2027-02-28T23:59", "2027-02-01", "2027-03-01"),
        ("month", "2026-01-31T12:00", "2026-01-01", "2026-02-01"),
        ("month", "2100-02-28T23:59", "2100-02-01", "2100-03-01"),
        ("month", "2038-01-19T03:14:08", "2038-01-01", "2038-02-01"),
    ],
)
def test_windows_are_utc_calendar_windows(every, at, start, end):
    found = window(Every(every), micros(at))
    assert found == (micros(start) // 1_000_000, micros(end) // 1_000_000)


@settings(deadline=None, derandomize=True)
@given(st.sampled_from(Every), st.integers(0, 4_000_000_000_000_000))
def test_every_moment_is_in_its_window_and_windows_meet(every, wall_us):
    start, end = window(every, wall_us)
    assert start * 1_000_000 <= wall_us < end * 1_000_000
    assert window(every, end * 1_000_000)[0] == end
