"""What others know better, asked for when somebody looks: breakers, calls in flight, the ledger.

`observer.py` registers one of these for each thing that `app.py` has it watch. Whoever is asked must be quick
and must not raise.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.call import Load
from proxy.holds import COMMIT_BOUNDS_S, Pulse
from proxy.metrics.series import What, buckets

Values = Mapping[tuple[str, ...], float]

Loads = Mapping[str, tuple[Load, bool]]
"""By upstream, what it says of itself, and whether that is too much."""

LOADS: tuple[tuple[str, str, Callable[[Load, bool], float | None]], ...] = (
    ("requests_running", "Requests that an upstream says it works on.", lambda load, _: load.running),
    ("requests_waiting", "Requests that an upstream says it has not begun.", lambda load, _: load.waiting),
    ("cache_used_ratio", "Part of its memory for prompts that is in use.", lambda load, _: load.cache),
    ("saturated", "1: passed over, because too many wait there.", lambda _, over: float(over)),
)

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


class Busy(Collector):
    """How busy upstreams say that they are. One that says nothing, or said it too long ago, has no series."""

    def __init__(self, ask: Callable[[], Loads]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[GaugeMetricFamily]:
        loads = self._ask()
        for name, about, value in LOADS:
            family = GaugeMetricFamily(f"fallthrough_upstream_{name}", about, labels=("upstream",))
            for upstream, (load, over) in loads.items():
                found = value(load, over)
                if found is not None:
                    family.add_metric((upstream,), found)
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
