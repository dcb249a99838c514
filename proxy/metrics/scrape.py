"""One scrape of several workers: their texts in Prometheus' format, made one.

`server/siblings.py` calls it. Counts and sums are added up; of what each worker sees of the same thing, such
as how much of a limit is used, the worst is told. Pure.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from proxy.metrics.series import What, gauge, written

LARGEST = frozenset(
    {
        "fallthrough_breaker_state",
        "fallthrough_limit_used_ratio",
        "fallthrough_target_closed",
        "fallthrough_loop_lag_seconds",
        "fallthrough_upstream_cache_used_ratio",
        "fallthrough_upstream_requests_running",
        "fallthrough_upstream_requests_waiting",
        "fallthrough_upstream_saturated",
    }
)
"""Gauges of which every worker has its own view, and the worst is told."""
SMALLEST = frozenset({"fallthrough_ledger_up"})
"""The same, where less is worse. All other gauges are added up."""

CREATED = "_created"
WORKERS = What("fallthrough_workers", "Workers whose metrics these are.")
TITLE_LINES = 2
"""What a family is about, and of which kind it is."""

Heads = dict[str, float]
"""What a line begins with, name and labels, → its value."""


def merged(texts: Iterable[bytes]) -> bytes:
    """Several expositions, all written by `series.py`, as one."""
    titles: dict[str, tuple[str, ...]] = {}
    families: dict[str, Heads] = {}
    workers = 0
    for text in texts:
        workers += 1
        for family, title, samples in _families(text.decode()):
            titles.setdefault(family, title)
            found = families.setdefault(family, {})
            for head, value in samples.items():
                found[head] = value if head not in found else _both(family, found[head], value)
    lines = [line for family in families for line in _told(titles[family], families[family])]
    return "".join([*lines, *gauge(WORKERS, [((), workers)])]).encode()


def _families(text: str) -> Iterator[tuple[str, tuple[str, ...], Heads]]:
    """Each family's name, what its two lines of comment say, and its samples.

    Whoever wrote it may have ended within a line: that one is left out.
    """
    lines = text.split("\n")[:-1]
    begins = [number for number, line in enumerate(lines) if line.startswith("# HELP ")]
    for begin, end in pairwise([*begins, len(lines)]):
        title, samples = tuple(lines[begin : begin + TITLE_LINES]), lines[begin + TITLE_LINES : end]
        heads = (line.rpartition(" ") for line in samples)
        yield title[0].split(" ", 3)[2], title, {head: float(value) for head, _, value in heads}


def _told(title: tuple[str, ...], samples: Heads) -> Iterator[str]:
    yield from (f"{line}\n" for line in title)
    yield from (f"{head} {written(value)}\n" for head, value in samples.items())


def _both(family: str, one: float, other: float) -> float:
    if family in LARGEST:
        return max(one, other)
    return min(one, other) if family in SMALLEST or family.endswith(CREATED) else one + other
