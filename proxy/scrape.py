"""One scrape of several workers: their texts in Prometheus' format, made one.

`server/siblings.py` calls it. Counts and sums are added up; of what each worker sees of the same thing, such
as how much of a limit is used, the worst is told. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

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

Labels = tuple[tuple[str, str], ...]


class _Sum(Collector):
    """The families of all texts."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        values: dict[str, dict[tuple[str, Labels], float]] = {}
        for text in self._texts:
            for family in text_string_to_metric_families(text.decode()):
                families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                found = values.setdefault(family.name, {})
                for sample in family.samples:
                    key = (sample.name, tuple(sample.labels.items()))
                    before = found.get(key)
                    found[key] = sample.value if before is None else _both(family.name, before, sample.value)
        for name, family in families.items():
            for (named, labels), value in values[name].items():
                family.add_sample(named, dict(labels), value)
            yield family
        yield GaugeMetricFamily(
            "fallthrough_workers", "Workers whose metrics these are.", value=len(self._texts)
        )


def merged(texts: Iterable[bytes]) -> bytes:
    """Several expositions as one."""
    registry = CollectorRegistry()
    registry.register(_Sum(tuple(texts)))
    return generate_latest(registry)


def _both(family: str, one: float, other: float) -> float:
    if family in LARGEST:
        return max(one, other)
    return min(one, other) if family in SMALLEST or family.endswith(CREATED) else one + other
