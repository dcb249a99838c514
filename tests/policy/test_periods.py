"""Windows: every moment is in one, they meet, and no clock makes one twice."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.periods import window
from proxy.table import Every

SECOND = 1_000_000
ZONES = (
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",  # clocks were changed at midnight
    "America/St_Johns",  # … at one minute past it: dates came back
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left out 2011-12-30
    "Pacific/Kiritimati",
    "America/Scoresbysund",
    "Antarctica/Troll",  # by two hours
    "Africa/Casablanca",
    "UTC",
)


def micros(text, zone=UTC):
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * SECOND)


@pytest.mark.parametrize(
    ("every", "at", "start", "end"),
    [
        ("minute", "2026-11-21T10:15:59.999999", "2026-11-21T10:15", "2026-11-21T10:16"),
        ("minute", "2026-11-21T10:16", "2026-11-21T10:16", "2026-11-21T10:17"),
        ("hour", "2026-11-21T10:59:59.999999", "2026-11-21T10:00", "2026-11-21T11:00"),
        ("hour", "2026-12-31T23:00", "2026-12-31T23:00", "2027-01-01T00:00"),
        ("day", "2026-11-21T23:59:59.999999", "2026-11-21", "2026-11-22"),
        ("day", "2026-11-22", "2026-11-22", "2026-11-23"),
        ("day", "2028-02-29T12:00", "2028-02-29", "2028-03-01"),
        ("day", "2016-12-31T23:59:59.999999", "2016-12-31", "2017-01-01"),  # a leap second came after
        ("week", "2026-11-22T23:59:59.999999", "2026-11-16", "2026-11-23"),
        ("week", "2026-11-23", "2026-11-23", "2026-11-30"),
        ("week", "2027-01-01", "2026-12-28", "2027-01-04"),
        ("month", "2026-12-31T23:59:59.999999", "2026-12-01", "2027-01-01"),
        ("month", "2027-01-01", "2027-01-01", "2027-02-01"),
        ("month", "2028-02-29T23:59", "2028-02-01", "2028-03-01"),
        ("month", "2027-02-28T23:59", "2027-02-01", "2027-03-01"),
        ("month", "2026-01-31T12:00", "2026-01-01", "2026-02-01"),
        ("month", "2100-02-28T23:59", "2100-02-01", "2100-03-01"),
        ("month", "2038-01-19T03:14:08", "2038-01-01", "2038-02-01"),
    ],
)
def test_without_a_zone_windows_are_utc_calendar_windows(every, at, start, end):
    found = window(Every(every), micros(at))
    assert found == (micros(start) // SECOND, micros(end) // SECOND)
    assert found == window(Every(every), micros(at), ZoneInfo("UTC"))


@pytest.mark.fault("d8-calendar")
@pytest.mark.parametrize(
    ("zone", "every", "at", "start", "hours"),
    [
        ("Europe/Paris", "day", "2026-03-29T12:00", "2026-03-28T23:00", 23),
        ("Europe/Paris", "day", "2026-10-25T12:00", "2026-10-24T22:00", 25),
        ("Europe/Paris", "day", "2026-10-24T21:59:59", "2026-10-23T22:00", 24),
        ("Europe/Paris", "month", "2026-03-31T21:59:59", "2026-02-28T23:00", 31 * 24 - 1),
        ("Europe/Paris", "week", "2026-10-25T23:00:00", "2026-10-25T23:00", 7 * 24),
        ("Europe/Paris", "week", "2026-10-25T22:59:59", "2026-10-18T22:00", 7 * 24 + 1),
        ("Europe/Paris", "hour", "2026-03-29T01:30", "2026-03-29T01:00", 1),
        ("Asia/Kathmandu", "day", "2026-01-01T18:14:59", "2025-12-31T18:15", 24),
        ("Asia/Kathmandu", "hour", "2026-01-01T18:14:59", "2026-01-01T18:00", 1),
        ("America/Sao_Paulo", "day", "2018-11-04T12:00", "2018-11-04T03:00", 23),  # it had no midnight
        ("America/Havana", "day", "2024-11-03T12:00", "2024-11-03T04:00", 25),  # it has two
        ("Pacific/Apia", "day", "2011-12-30T09:59:59", "2011-12-29T10:00", 24),
        ("Pacific/Apia", "day", "2011-12-30T10:00:00", "2011-12-30T10:00", 24),  # the 31st
        ("America/St_Johns", "day", "2006-10-29T02:31:30", "2006-10-29T02:30", 25),  # the 28th, again
    ],
)
def test_in_a_zone_days_are_as_long_as_its_calendar_makes_them(zone, every, at, start, hours):
    found = window(Every(every), micros(at), ZoneInfo(zone))
    assert found == (micros(start) // SECOND, micros(start) // SECOND + hours * 3600)


MOMENTS = st.integers(0, 4_000_000_000 * SECOND)
PLACES = st.none() | st.sampled_from(ZONES).map(ZoneInfo)


@pytest.mark.fault("d8-calendar")
@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.sampled_from(Every), PLACES, MOMENTS)
def test_every_moment_is_in_its_window_and_windows_meet(every, zone, wall_us):
    start, end = window(every, wall_us, zone)
    assert start * SECOND <= wall_us < end * SECOND
    assert window(every, end * SECOND, zone)[0] == end
    assert window(every, start * SECOND, zone) == (start, end)
    assert window(every, start * SECOND - 1, zone)[1] == start or start == 0


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.sampled_from([name for name in ZONES if name != "America/St_Johns"]), MOMENTS)
def test_two_moments_share_a_day_exactly_when_they_share_a_date(name, wall_us):
    """Against the calendar itself: a day is a date of its zone, however many hours that has."""
    zone = ZoneInfo(name)
    start, end = window(Every.DAY, wall_us, zone)

    def day(second) -> date:
        return datetime.fromtimestamp(second, zone).date()

    here = day(wall_us // SECOND)
    assert day(start) == day(end - 1) == here
    assert day(start - 1) < here < day(end)
    assert end - start <= timedelta(hours=26).total_seconds()
