"""Counters and histograms that cost a look into a dict, and label values whose number has an end.

Every call is counted some twenty times, so counting is an addition under a tuple of label values. A scrape
may write ten thousand lines, on the loop, while calls wait: so each combination keeps what its lines begin
with, and a line is that and a number. Whatever callers send, a label takes no more than `LABEL_VALUES_MAX`
values, and a family no more than so many combinations of them: what comes later is counted under `other`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from math import isfinite, isnan

from msgspec import Struct

OTHER = "other"
LABEL_VALUES_MAX = 200
SUMS_MAX = 1_000
SPREADS_MAX = 500
"""Combinations of label values that a counter and a histogram take; the latter has some twenty lines each."""
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
_GAP = "\0"
"""Where a bucket's bound belongs in the beginning of its line."""


class What(Struct, frozen=True):
    """What a family is about."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Sum(Struct):
    """What was counted under one combination of label values."""

    head: str
    """What its line begins with."""
    created: str
    amount: float = 0


class Sums:
    """A counter: one sum for each combination of label values."""

    def __init__(self, what: What, wall_us: Callable[[], int]) -> None:
        self._what = what
        self._wall_us = wall_us
        self._sums: dict[tuple[str, ...], Sum] = {}

    def add(self, labels: tuple[str, ...], amount: float = 1) -> None:
        found = self._sums.get(labels) or self._begin(labels)
        found.amount += amount

    def at(self, labels: tuple[str, ...]) -> Sum:
        """What is counted under these, for whoever counts there again and again."""
        return self._sums.get(labels) or self._begin(labels)

    def lines(self) -> Iterator[str]:
        """All of it, as scrapers read it."""
        what, sums = self._what, self._sums.values()
        yield from _title(f"{what.name}_total", what.help, "counter")
        yield from (f"{each.head}{written(each.amount)}\n" for each in sums)
        yield from _created(what, (each.created for each in sums))

    def _begin(self, labels: tuple[str, ...]) -> Sum:
        """Make room for a combination, or give the one that stands for all that have none."""
        if len(self._sums) >= SUMS_MAX:
            labels = (OTHER,) * len(labels)
        if labels not in self._sums:
            what, named = self._what, tuple(zip(self._what.labels, labels, strict=True))
            created = f"{_head(f'{what.name}_created', named)}{written(self._wall_us() / 1e6)}\n"
            self._sums[labels] = Sum(_head(f"{what.name}_total", named), created)
        return self._sums[labels]


class Heap(Struct):
    """What was seen under one combination of label values."""

    heads: tuple[str, str, str, str]
    """What its lines begin with: of a bucket, before and after its bound; of the count; of the sum."""
    created: str
    bounds: Sequence[float]
    counts: list[int]
    """By bucket; the last is for what is beyond all bounds."""
    total: float = 0.0

    def add(self, amount: float) -> None:
        """One more."""
        self.total += amount
        self.counts[bisect_left(self.bounds, amount)] += 1

    def lines(self, names: Sequence[str]) -> Iterator[str]:
        """Its buckets, which are called so, and what is told beside them."""
        before, after, count, total = self.heads
        sums = list(accumulate(self.counts))
        for name, count_so_far in zip(names, sums, strict=True):
            yield f"{before}{name}{after}{written(count_so_far)}\n"
        yield f"{count}{written(sums[-1])}\n"
        yield f"{total}{written(self.total)}\n"


class Spread:
    """A histogram: how many amounts there were up to each bound."""

    def __init__(self, what: What, bounds: tuple[float, ...], wall_us: Callable[[], int]) -> None:
        self._what = what
        self._bounds = bounds
        self._names = bucket_names(bounds)
        self._wall_us = wall_us
        self._heaps: dict[tuple[str, ...], Heap] = {}

    def add(self, labels: tuple[str, ...], amount: float) -> None:
        heap = self._heaps.get(labels) or self._begin(labels)
        heap.total += amount
        heap.counts[bisect_left(self._bounds, amount)] += 1

    def at(self, labels: tuple[str, ...]) -> Heap:
        """What is counted under these, for whoever counts there again and again."""
        return self._heaps.get(labels) or self._begin(labels)

    def add_many(self, labels: tuple[str, ...], counts: Sequence[int], total: float) -> None:
        """Add what somebody else counted by the same bounds."""
        heap = self.at(labels)
        heap.total += total
        for index, count in enumerate(counts):
            heap.counts[index] += count

    def lines(self) -> Iterator[str]:
        """All of it, as scrapers read it."""
        what, heaps = self._what, self._heaps.values()
        yield from _title(what.name, what.help, "histogram")
        for heap in heaps:
            yield from heap.lines(self._names)
        yield from _created(what, (heap.created for heap in heaps))

    def _begin(self, labels: tuple[str, ...]) -> Heap:
        if len(self._heaps) >= SPREADS_MAX:
            labels = (OTHER,) * len(labels)
        if labels not in self._heaps:
            name, named = self._what.name, tuple(zip(self._what.labels, labels, strict=True))
            created = f"{_head(f'{name}_created', named)}{written(self._wall_us() / 1e6)}\n"
            self._heaps[labels] = Heap(_heads(name, named), created, self._bounds, [0] * len(self._names))
        return self._heaps[labels]


def bucket_names(bounds: Sequence[float]) -> tuple[str, ...]:
    """What the buckets are called."""
    return (*(str(float(bound)) for bound in bounds), "+Inf")


def gauge(what: What, values: Iterable[tuple[tuple[str, ...], float]]) -> Iterator[str]:
    """What somebody else knows to stand under each combination of label values."""
    yield from _title(what.name, what.help, "gauge")
    for labels, value in values:
        yield f"{_head(what.name, zip(what.labels, labels, strict=True))}{written(value)}\n"


def histogram(what: What, bounds: Sequence[float], counts: Sequence[int], total: float) -> Iterator[str]:
    """What somebody else counted by these bounds."""
    yield from _title(what.name, what.help, "histogram")
    yield from Heap(_heads(what.name, ()), "", bounds, list(counts), total).lines(bucket_names(bounds))


def _title(name: str, text: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {text}\n", f"# TYPE {name} {kind}\n"


def _created(what: What, lines: Iterable[str]) -> Iterator[str]:
    """When each combination began; a family of its own, and none where there is nothing."""
    for index, line in enumerate(lines):
        if index == 0:
            yield from _title(f"{what.name}_created", what.help, "gauge")
        yield line


def _head(name: str, labels: Iterable[tuple[str, str]]) -> str:
    """What a line begins with: all but its number."""
    inner = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels))
    return f"{name}{{{inner}}} " if inner else f"{name} "


def _heads(name: str, named: tuple[tuple[str, str], ...]) -> tuple[str, str, str, str]:
    """What a histogram's lines begin with."""
    before, after = _head(f"{name}_bucket", (*named, ("le", _GAP))).split(_GAP)
    return before, after, _head(f"{name}_count", named), _head(f"{name}_sum", named)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def written(value: float) -> str:
    """A value as scrapers read it."""
    if isinstance(value, int):
        return f"{value:d}.0"
    if isfinite(value):
        return repr(value)
    return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"


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
