"""What the ledger says now, for those who watch: counters, what tenants spent, alerts.

Reads beside the running writer, like `report.py`, but again and again: sums grow by the rows that came
since they were last looked at, and no row is added up twice. `app.py` makes one for the process and
`server/views/` asks it, from a thread, one question at a time. The ledger and not an observer is asked,
because it has what all replicas and workers did, and what was before a restart.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import closing

import orjson
from msgspec import Struct

from proxy.place import Place
from proxy.store.reader import Reader, only, open_reader
from proxy.store.report import SETTLED
from proxy.store.stub import BEGIN, DAY_US, read_past
from proxy.store.tables import Counted

COUNTERS_MAX = 200
"""So many are shown, the fullest: of each key and minute there may be one."""
ALERTS_MAX = 20
"""Of each whose counters crossed marks."""
HEADS_MAX = 1000
"""So many of these are remembered, the last to cross one."""

COUNTERS = """
SELECT scope, window_start, window_end, unit, used, held, ceiling, marks FROM balances
WHERE (window_end > ?1 OR (window_end = 0 AND held > 0))
    AND scope NOT LIKE 'user=%' AND scope NOT LIKE '%/user=%'
ORDER BY CASE WHEN ceiling = 0 THEN 1.0 ELSE (used + held) * 1.0 / ceiling END DESC, scope, window_start
LIMIT ?2
"""
"""Without those of end persons, whose number has no end."""

STAND = "SELECT used, held FROM balances WHERE scope = ?1 AND window_start = ?2"

SPENT = f"""
SELECT tenant, at_us / {DAY_US}, count(*), CAST(sum(input_tokens) AS bigint),
    CAST(sum(output_tokens) AS bigint), CAST(sum(nano_usd) AS bigint)
FROM rows WHERE {SETTLED} AND seq > ?1 AND seq <= ?2 AND at_us >= ?3 GROUP BY 1, 2
"""  # noqa: S608 - our own words

ALERTS = "SELECT at_us, entries FROM rows WHERE kind = 'alert' AND seq > ?1 AND seq <= ?2 ORDER BY seq"
LAST = f"SELECT coalesce(max(seq), {BEGIN}) FROM rows"  # noqa: S608 - our own words
NEXT = "SELECT at_us FROM rows WHERE seq >= ?1 ORDER BY seq LIMIT 1"


class Counter(Struct, frozen=True):
    """One counter in a window that is not over, or of calls at once."""

    scope: str
    window: int
    window_end: int
    """0: no window."""
    unit: str
    used: int
    held: int
    ceiling: int
    """As last claimed against."""
    marks: tuple[int, ...]


class Crossed(Struct, frozen=True):
    """A mark that a counter crossed."""

    at_us: int
    scope: str
    window: int
    unit: str
    used: int
    mark: int
    ceiling: int


class Spend(Struct):
    """What calls came to that ended within a time."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0

    def add(self, calls: int, input_tokens: int, output_tokens: int, nano_usd: int) -> None:
        self.calls += calls
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.nano_usd += nano_usd


Span = tuple[int, int]
"""Two moments, Unix microseconds."""


class View:
    """One ledger, looked at again and again. Blocks; not for two threads at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._since_us = 0
        """What ended before this is not added up."""
        self._last: int | None = None
        """The last row that is; None: none was ever looked at."""
        self._days: dict[str, dict[int, Spend]] = {}
        """By tenant and day since 1970."""
        self._alerts: dict[str, deque[Crossed]] = {}
        """By the first part of the counter's name."""

    def counters(self, now_us: int) -> tuple[Counter, ...]:
        """The fullest whose window is not over, by name. Raises `StoreRefused`."""
        with closing(open_reader(self._place)) as reader:
            rows = sorted(reader.select(COUNTERS, now_us // 1_000_000, COUNTERS_MAX))
        return tuple(Counter(*(*facts, tuple(orjson.loads(marks)))) for *facts, marks in rows)

    def stands(self, counters: Iterable[Counted]) -> Mapping[Counted, tuple[int, int]]:
        """Used and held of certain counters, where anything ever was. Raises `StoreRefused`."""
        with closing(open_reader(self._place)) as reader:
            found = {counter: list(reader.select(STAND, *counter)) for counter in counters}
        return {counter: (rows[0][0], rows[0][1]) for counter, rows in found.items() if rows}

    def look(self, since_us: int) -> None:
        """Take in what came since the last look; what ended before `since_us` is of no interest any more.

        Raises `StoreRefused`. The first look adds up all since then and may take a while; in a file it holds
        up checkpoints for as long.
        """
        with closing(open_reader(self._place)) as reader:
            reader.begin()  # what is pruned meanwhile would be counted twice, or not at all
            gone = int(only(reader.select(f"SELECT {BEGIN}")) or 0)
            if self._last is None or gone > self._last or since_us < self._since_us:
                self._begin(reader, gone, since_us)
            first, last = self._last or 0, int(only(reader.select(LAST)) or 0)
            self._last, self._since_us = None, since_us  # cut off in the middle, it begins anew
            for tenant, day, *amounts in reader.select(SPENT, first, last, since_us):
                self._spend(tenant, day).add(*amounts)
            for at_us, entries in reader.select(ALERTS, first, last):
                for scope, window, unit, used, mark, ceiling in orjson.loads(entries):
                    self._keep(Crossed(at_us, scope, window, unit, used, mark, ceiling))
            self._last = last
        for days in self._days.values():
            for day in [day for day in days if day < since_us // DAY_US]:
                del days[day]

    def spent(self, tenant: str, within: Span) -> Spend:
        """What calls of a tenant came to whose day, in UTC, began within so much, as of the last look."""
        total = Spend()
        for day, spend in self._days.get(tenant, {}).items():
            if within[0] <= day * DAY_US < within[1]:
                total.add(spend.calls, spend.input_tokens, spend.output_tokens, spend.nano_usd)
        return total

    def alerts(self, *heads: str) -> tuple[Crossed, ...]:
        """The last marks crossed by counters whose names begin so, or by any; the newest first."""
        found = [each for head in heads or self._alerts for each in self._alerts.get(head, ())]
        return tuple(sorted(found, key=lambda each: each.at_us, reverse=True))

    def _begin(self, reader: Reader, gone: int, since_us: int) -> None:
        """Begin anew with what pruned rows came to, behind which no row is missing."""
        self._days, self._alerts = {}, {}
        for word, day, *told in read_past(reader):
            if word == "usage" and day * DAY_US >= since_us:
                tenant, _, _, calls, *measures = told
                *_, input_tokens, _, _, output_tokens, _, nano_usd = measures
                self._spend(tenant, day).add(calls, input_tokens, output_tokens, nano_usd)
        # A day more, for rows stand in the order of their settlement and clocks of replicas differ.
        self._last = _before(reader, gone, since_us - DAY_US)

    def _spend(self, tenant: str, day: int) -> Spend:
        return self._days.setdefault(tenant, {}).setdefault(day, Spend())

    def _keep(self, crossed: Crossed) -> None:
        head = crossed.scope.partition("/")[0]
        found = self._alerts.pop(head, None) or deque(maxlen=ALERTS_MAX)
        found.append(crossed)
        self._alerts[head] = found
        if len(self._alerts) > HEADS_MAX:
            del self._alerts[next(iter(self._alerts))]


def _before(reader: Reader, gone: int, since_us: int) -> int:
    """The last row before which all were written earlier, found by halving: rows stand in order of time."""
    low, high = gone, int(only(reader.select(LAST)) or 0)
    while low < high:
        middle = (low + high + 1) // 2
        if int(only(reader.select(NEXT, middle))) < since_us:
            low = middle
        else:
            high = middle - 1
    return low
