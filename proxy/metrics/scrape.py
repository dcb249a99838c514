"""One scrape of several workers: their texts in Prometheus' format, made one.

`server/siblings.py` calls it. Counts and sums are added up; of what each worker sees of the same thing, such
as how much of a limit is used, the worst is told. A sum must never fall, for to Prometheus that is a start
from nothing, and all that is left of it a rise: so what a worker counted outlives it. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
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
LASTING = frozenset({"counter", "histogram"})
"""Kinds of families that hold when whoever counted has ended."""
WORKERS = What("fallthrough_workers", "Workers whose metrics these are.")
TITLE_LINES = 2
"""What a family is about, and of which kind it is."""

Heads = dict[str, float]
"""What a line begins with, name and labels, → its value."""


def merged(texts: Sequence[bytes], gone: Iterable[bytes] = ()) -> bytes:
    """What workers say of themselves, as one, with what is known of those that say nothing."""
    total = added([*texts, *map(lasting, gone)])
    return total + "".join(gauge(WORKERS, [((), len(texts))])).encode()


def lasting(text: bytes) -> bytes:
    """What still holds of a text whose worker has ended: what it counted, and since when."""
    found = [
        line
        for family, title, samples in _families(text.decode())
        if title[1].rpartition(" ")[2] in LASTING or family.endswith(CREATED)
        for line in _told(title, samples)
    ]
    return "".join(found).encode()


def added(texts: Iterable[bytes]) -> bytes:
    """Several expositions, all written by `series.py`, as one."""
    titles: dict[str, tuple[str, ...]] = {}
    families: dict[str, Heads] = {}
    for text in texts:
        for family, title, samples in _families(text.decode()):
            titles.setdefault(family, title)
            found = families.setdefault(family, {})
            for head, value in samples.items():
                found[head] = value if head not in found else _both(family, found[head], value)
    return "".join(line for family in families for line in _told(titles[family], families[family])).encode()


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
