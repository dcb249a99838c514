"""Counters and histograms that cost a look into a dict, and label values whose number has an end.

Every call is counted some twenty times, so counting is an addition under a tuple of label values; the
library's families are made of that at a scrape. All of it happens on the loop. Whatever callers send, a
label takes no more than `LABEL_VALUES_MAX` values, and a family no more than so many combinations of them:
what comes later is counted under `other`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

OTHER = "other"
LABEL_VALUES_MAX = 200
SUMS_MAX = 1_000
SPREADS_MAX = 500
"""Combinations of label values that a counter and a histogram take; the latter has some twenty lines each."""


@dataclass(frozen=True, slots=True)
class What:
    """What a family is about."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Sums(Collector):
    """A counter: one sum for each combination of label values."""

    def __init__(self, what: What, wall_us: Callable[[], int]) -> None:
        self._what = what
        self._wall_us = wall_us
        self._sums: dict[tuple[str, ...], float] = {}
        self._created: dict[tuple[str, ...], float] = {}
        """When each began, Unix seconds."""

    def add(self, labels: tuple[str, ...], amount: float = 1) -> None:
        if labels not in self._sums:
            labels = self._begin(labels)
        self._sums[labels] += amount

    def collect(self) -> Iterator[CounterMetricFamily]:
        what = self._what
        family = CounterMetricFamily(what.name, what.help, labels=what.labels)
        for labels, amount in self._sums.items():
            family.add_metric(labels, amount, self._created[labels])
        yield family

    def _begin(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Make room for a combination, or give the one that stands for all that have none."""
        if len(self._sums) >= SUMS_MAX:
            labels = (OTHER,) * len(labels)
        if labels not in self._sums:
            self._sums[labels] = 0
            self._created[labels] = self._wall_us() / 1e6
        return labels


@dataclass(slots=True)
class _Heap:
    """What was seen under one combination of label values."""

    created: float
    counts: list[int]
    """By bucket; the last is for what is beyond all bounds."""
    total: float = 0.0


class Spread(Collector):
    """A histogram: how many amounts there were up to each bound."""

    def __init__(self, what: What, bounds: tuple[float, ...], wall_us: Callable[[], int]) -> None:
        self._what = what
        self._bounds = bounds
        self._wall_us = wall_us
        self._heaps: dict[tuple[str, ...], _Heap] = {}

    def add(self, labels: tuple[str, ...], amount: float) -> None:
        heap = self._heaps.get(labels) or self._begin(labels)
        heap.total += amount
        heap.counts[bisect_left(self._bounds, amount)] += 1

    def add_many(self, labels: tuple[str, ...], counts: Sequence[int], total: float) -> None:
        """Add what somebody else counted by the same bounds."""
        heap = self._heaps.get(labels) or self._begin(labels)
        heap.total += total
        for index, count in enumerate(counts):
            heap.counts[index] += count

    def collect(self) -> Iterator[HistogramMetricFamily]:
        what = self._what
        family = HistogramMetricFamily(what.name, what.help, labels=what.labels)
        for labels, heap in self._heaps.items():
            family.add_metric(labels, buckets(self._bounds, heap.counts), heap.total)
            named = dict(zip(what.labels, labels, strict=True))
            family.add_sample(f"{what.name}_created", named, heap.created)
        yield family

    def _begin(self, labels: tuple[str, ...]) -> _Heap:
        if len(self._heaps) >= SPREADS_MAX:
            labels = (OTHER,) * len(labels)
        if labels not in self._heaps:
            self._heaps[labels] = _Heap(self._wall_us() / 1e6, [0] * (len(self._bounds) + 1))
        return self._heaps[labels]


def buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """A histogram's lines, of how many amounts there were in each bucket."""
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))


class Bounded:
    """The values that a label has taken; past the cap, newcomers are `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def keep(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= LABEL_VALUES_MAX:
            return OTHER
        self._seen.add(value)
        return value
