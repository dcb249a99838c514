"""What others know better, asked for when somebody looks: breakers, calls in flight, the ledger.

`observer.py` registers one of these for each thing that `app.py` has it watch. Whoever is asked must be quick
and must not raise.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.holds import COMMIT_BOUNDS_S, Pulse
from proxy.metrics.series import What, buckets

Values = Mapping[tuple[str, ...], float]

QUEUE = What("fallthrough_ledger_queue", "Requests that wait for the ledger's next transaction.")
UP = What("fallthrough_ledger_up", "1: the ledger writes; 0: it cannot, and no call is admitted.")
COMMITS = What(
    "fallthrough_ledger_commit_seconds",
    "What it took the ledger's database to make one transaction durable, its flush to disk.",
)


class Asked(Collector):
    """A gauge whose values somebody else has."""

    def __init__(self, what: What, ask: Callable[[], Values]) -> None:
        self._what = what
        self._ask = ask

    def collect(self) -> Iterator[GaugeMetricFamily]:
        what = self._what
        family = GaugeMetricFamily(what.name, what.help, labels=what.labels)
        for labels, value in self._ask().items():
            family.add_metric(labels, value)
        yield family


class Ledger(Collector):
    """How the ledger fares."""

    def __init__(self, ask: Callable[[], Pulse]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        pulse = self._ask()
        yield GaugeMetricFamily(QUEUE.name, QUEUE.help, value=pulse.waiting)
        yield GaugeMetricFamily(UP.name, UP.help, value=int(pulse.well))
        lines = buckets(COMMIT_BOUNDS_S, pulse.commits)
        yield HistogramMetricFamily(COMMITS.name, COMMITS.help, buckets=lines, sum_value=pulse.commit_s)
