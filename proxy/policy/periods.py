"""The calendar windows of limits: where in time a counter begins anew.

`quota.py` asks for the window of each claim, once, when it is to be held; the call is settled in that
window whatever the clock has done meanwhile. Pure arithmetic on a moment and a zone that are handed in.

Minutes and hours are the same everywhere: seconds of Unix time, cut evenly. Days, weeks and months
begin at midnight somewhere, and so are as long as that calendar makes them: 23 or 25 hours where
clocks are changed, no time at all where a day is left out.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo

from msgspec import Struct

from proxy.table import Every

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400
MICRO = 1_000_000


class _Dated(Struct, frozen=True):
    """A window that begins and ends at midnight."""

    first: Callable[[date], date]
    """The day on which the window of a day begins."""
    reach: timedelta
    """From the first day of any such window into the next one."""


_EVEN_ANYWHERE: Mapping[Every, int] = {Every.MINUTE: MINUTE_S, Every.HOUR: HOUR_S}
_EVEN_IN_UTC: Mapping[Every, int] = {**_EVEN_ANYWHERE, Every.DAY: DAY_S}
_FROM_ONE_MONTH_INTO_THE_NEXT_S = 32 * DAY_S
_DATED: Mapping[Every, _Dated] = {
    Every.DAY: _Dated(lambda day: day, timedelta(days=1)),
    Every.WEEK: _Dated(lambda day: day - timedelta(days=day.weekday()), timedelta(days=7)),
    Every.MONTH: _Dated(lambda day: day.replace(day=1), timedelta(days=32)),
}


def window(every: Every, wall_us: int, zone: tzinfo | None = None) -> tuple[int, int]:
    """Start and end, in Unix seconds, of the window that holds `wall_us`; without a `zone` in UTC."""
    second = wall_us // MICRO
    length = _EVEN_IN_UTC.get(every) if zone is None else _EVEN_ANYWHERE.get(every)
    if length is not None:
        start = second - second % length
        return start, start + length
    if every is Every.MONTH and zone is None:
        start = _first_of_month(second)
        return start, _first_of_month(start + _FROM_ONE_MONTH_INTO_THE_NEXT_S)
    return _between_midnights(second, zone or UTC, _DATED[every])


def _first_of_month(second: int) -> int:
    """When the month began, in UTC, where all days are equally long: what most budgets are counted in."""
    return second - second % DAY_S - (datetime.fromtimestamp(second, UTC).day - 1) * DAY_S


def _between_midnights(second: int, zone: tzinfo, dated: _Dated) -> tuple[int, int]:
    """The window between two midnights of `zone`.

    The date there does not decide alone: where clocks are set across midnight, a date may end, come
    back and end again, or begin late. Midnights decide, so that windows always meet and never overlap.
    """
    day = dated.first(datetime.fromtimestamp(second, zone).date())
    while second < (start := _midnight(day, zone)):
        day = dated.first(day - timedelta(days=1))
    while second >= (end := _midnight(after := dated.first(day + dated.reach), zone)):
        day, start = after, end
    return start, end


def _midnight(day: date, zone: tzinfo) -> int:
    """When `day` begins: the first of two midnights; where there is none, when the clock passed it."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
