"""The record of a rehearsal, added up. Pure: visits in, figures out."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from proxy.rehearsal.callers import BROKEN, LEFT, WHOLE
from proxy.rehearsal.record import Visit

PERCENTILES: Mapping[str, float] = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "max": 1.0}
CALM_S = 5
"""Seconds without a call that fails, after which what comes is a trouble of its own."""


class Figures(Struct, frozen=True):
    """What a rehearsal came to."""

    calls: int
    whole: int
    broken: int
    """Streams that broke after their first word."""
    left: int
    """Calls whose callers lost patience."""
    failed: Mapping[str, int]
    """Calls that got an error in place of an answer, or a wrong one, by code; the most frequent first."""
    outage_s: int
    """Seconds in which calls came and none of them was answered whole."""
    impaired_s: int
    """Seconds in which a call came that was not answered whole."""
    answered: Mapping[str, int]
    """Whole answers by upstream, the most frequent first."""
    nano_usd: int
    input_tokens: int
    output_tokens: int
    first_s: Mapping[str, float]
    """From a call to its first word, by percentile; empty where nobody had one."""
    added_s: Mapping[str, float]
    """The part of that which went by before the one who answered was asked."""

    @property
    def failures(self) -> int:
        """All that `failed` holds."""
        return sum(self.failed.values())

    def share(self, number: int) -> float:
        """A number of calls as a part of all."""
        return number / self.calls if self.calls else 0.0


def figures(visits: Sequence[Visit]) -> Figures:
    """What these calls came to."""
    results = Counter(visit.result for visit in visits)
    answered = Counter(visit.upstream for visit in visits if visit.result == WHOLE and visit.upstream)
    told = Counter({code: n for code, n in results.items() if code not in (WHOLE, BROKEN, LEFT)})
    seconds = _seconds(visits)
    return Figures(
        calls=len(visits),
        whole=results[WHOLE],
        broken=results[BROKEN],
        left=results[LEFT],
        failed=_ranked(told),
        outage_s=sum(not whole for whole, _ in seconds.values()),
        impaired_s=sum(bool(other) for _, other in seconds.values()),
        answered=_ranked(answered),
        nano_usd=sum(visit.nano_usd for visit in visits),
        input_tokens=sum(visit.usage.input for visit in visits),
        output_tokens=sum(visit.usage.output for visit in visits),
        first_s=percentiles(visit.first_s for visit in visits),
        added_s=percentiles(visit.added_s for visit in visits),
    )


def troubles(visits: Sequence[Visit]) -> tuple[tuple[int, int, int], ...]:
    """Times in which callers saw trouble: first second, last second, calls that were not answered whole."""
    bad = {second: other for second, (_, other) in _seconds(visits).items() if other}
    seconds = sorted(bad)
    begins = [second for before, second in pairwise([-math.inf, *seconds]) if second - before > CALM_S]
    ends = [second for second, after in pairwise([*seconds, math.inf]) if after - second > CALM_S]
    return tuple(
        (int(begin), int(end), sum(other for second, other in bad.items() if begin <= second <= end))
        for begin, end in zip(begins, ends, strict=True)
    )


def percentiles(values: Iterable[float | None]) -> dict[str, float]:
    """The least value that so large a part of all does not exceed."""
    found = sorted(value for value in values if value is not None)
    if not found:
        return {}
    return {name: found[max(0, math.ceil(part * len(found)) - 1)] for name, part in PERCENTILES.items()}


def _seconds(visits: Iterable[Visit]) -> dict[int, tuple[int, int]]:
    """For each second in which a call came: those answered whole, and those not."""
    whole: Counter[int] = Counter()
    other: Counter[int] = Counter()
    for visit in visits:
        (whole if visit.result == WHOLE else other)[int(visit.at)] += 1
    return {second: (whole[second], other[second]) for second in whole.keys() | other.keys()}


def _ranked(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
