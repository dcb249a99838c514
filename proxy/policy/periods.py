"""The calendar windows of limits: where in time a counter begins anew.

`quota.py` asks for the window of each claim, once, when the call arrives; the call is settled in that
window whatever the clock has done meanwhile. Pure arithmetic on a moment that is handed in.
"""

from datetime import UTC, datetime

from proxy.table import Every

MINUTE_S = 60
DAY_S = 86_400
MICRO = 1_000_000


def window(every: Every, wall_us: int) -> tuple[int, int]:
    """Start and end, in Unix seconds, of the UTC calendar window that holds `wall_us`."""
    second = wall_us // MICRO
    if every is Every.MONTH:
        start = datetime.fromtimestamp(second, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        return int(start.timestamp()), int(after.timestamp())
    length = MINUTE_S if every is Every.MINUTE else DAY_S
    start_s = second - second % length
    return start_s, start_s + length
