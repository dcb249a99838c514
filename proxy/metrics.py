"""Metrics: an observer that counts what ends, and the text that scrapers read.

`app.py` makes one, puts it among the observers, and hands `render` to the server. Names follow
OpenTelemetry's conventions for generative AI where they exist, under the prefix `fallthrough_`. A
label value that callers can choose is shown only if the table knows it, and no label takes more than
a fixed number of values: nobody outside can make this room grow.

Every call is counted a dozen times, so counting is a look into a dict by label values (`_Sums`,
`_Spread`); the library's families are made of it at a scrape. All of it happens on the loop.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from proxy.call import Attempt, Load, Outcome
from proxy.holds import Alert, Balance, Granted, Spent
from proxy.usage import Usage

Loads = Mapping[str, tuple[Load, bool]]
"""By upstream, what it says of itself, and whether that is too much."""

OTHER = "other"
NOBODY = "none"
LABEL_VALUES_MAX = 200
NEVER_S = 2**40

FIRST_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
WHOLE_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
BREAKER_STATES: Mapping[str, int] = {"closed": 0, "half_open": 1, "open": 2}


@dataclass(frozen=True, slots=True)
class _What:
    """What a collector is about."""

    name: str
    help: str
    labels: tuple[str, ...]


CALLS = _What("fallthrough_calls", "Calls ended.", ("result", "upstream", "model"))
ATTEMPTS = _What("fallthrough_attempts", "Attempts ended.", ("upstream", "result"))
TOKENS = _What(
    "fallthrough_gen_ai_client_token_usage",
    "Tokens used; cached and cache_write are parts of input, reasoning is part of output.",
    ("gen_ai_token_type", "source", "upstream", "model"),
)
COST = _What("fallthrough_cost_usd", "What calls came to, US dollars.", ("upstream", "model"))
FIRST = _What(
    "fallthrough_gen_ai_server_time_to_first_token_seconds",
    "From a call's arrival to its first content.",
    ("upstream", "model"),
)
WHOLE = _What(
    "fallthrough_gen_ai_server_request_duration_seconds",
    "From a call's arrival to its end.",
    ("result", "model"),
)
ALERTS = _What("fallthrough_limit_alerts", "Marks that limits crossed.", ("unit", "mark"))
REFUSALS = _What(
    "fallthrough_limit_refusals",
    "Reservations that a limit refused, or would have, were it no shadow.",
    ("unit", "of", "shadow"),
)
SHED = _What(
    "fallthrough_shed_calls", "Calls refused unread: too many at once, or the loop was late.", ("why",)
)
READINGS = _What(
    "fallthrough_load_readings",
    "Times that an upstream was asked how busy it is.",
    ("upstream", "result"),
)
SHED_FOR = ("calls", "lag")
"""What a call is turned away for; counted from nothing, so that the first one is seen as a rise."""
RELOADS = _What("fallthrough_table_reloads", "Edited tables, taken or refused.", ("result",))

LOADS: tuple[tuple[str, str, Callable[[Load, bool], float | None]], ...] = (
    ("requests_running", "Requests that an upstream says it works on.", lambda load, _: load.running),
    ("requests_waiting", "Requests that an upstream says it has not begun.", lambda load, _: load.waiting),
    ("cache_used_ratio", "Part of its memory for prompts that is in use.", lambda load, _: load.cache),
    ("saturated", "1: passed over, because too many wait there.", lambda _, over: float(over)),
)


class Metrics:
    """The `Observer` that Prometheus can read."""

    def __init__(self, known_model: Callable[[str], bool], wall_us: Callable[[], int]) -> None:
        self._known_model = known_model
        self._models, self._results, self._upstreams = _Bounded(), _Bounded(), _Bounded()
        self._registry = registry = CollectorRegistry()
        self._calls, self._attempts = _Sums(CALLS, wall_us), _Sums(ATTEMPTS, wall_us)
        self._tokens, self._cost = _Sums(TOKENS, wall_us), _Sums(COST, wall_us)
        self._first, self._whole = _Spread(FIRST, FIRST_S, wall_us), _Spread(WHOLE, WHOLE_S, wall_us)
        self._reloads = _Sums(RELOADS, wall_us)
        for each in (self._calls, self._attempts, self._tokens, self._cost, self._first, self._whole):
            registry.register(each)
        self._breakers = Gauge(
            "fallthrough_breaker_state", "0 closed, 1 half open, 2 open.", ("upstream",), registry=registry
        )
        self._limits = _Limits(registry, wall_us)
        registry.register(self._reloads)
        self._shed = _Sums(SHED, wall_us)
        for why in SHED_FOR:
            self._shed.add((why,), 0)
        registry.register(self._shed)
        self._in_flight = Gauge("fallthrough_calls_in_flight", "Calls being answered.", registry=registry)
        self._readings, self._loads = _Sums(READINGS, wall_us), _Loads()
        registry.register(self._readings)
        registry.register(self._loads)
        self._lag = Gauge("fallthrough_loop_lag_seconds", "How late the loop was lately.", registry=registry)

    def watch_in_flight(self, count: Callable[[], int]) -> None:
        """Ask `count` for the calls in flight at each scrape."""
        self._in_flight.set_function(count)

    def watch_lag(self, seconds: Callable[[], float]) -> None:
        """Ask `seconds` how late the loop is at each scrape."""
        self._lag.set_function(seconds)

    def watch_loads(self, loads: Callable[[], Loads]) -> None:
        """Ask `loads` what upstreams say of themselves at each scrape."""
        self._loads.ask = loads

    def load_read(self, upstream: str, succeeded: bool) -> None:
        """An upstream was asked how busy it is."""
        self._readings.add((self._upstreams.keep(upstream), "ok" if succeeded else "failed"))

    def reloaded(self, taken: bool) -> None:
        """An edited table was taken into force, or refused for its faults."""
        self._reloads.add(("taken" if taken else "refused",))

    def shed(self, why: str) -> None:
        """A call was turned away at the gate."""
        self._shed.add((why,))

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    def settled(self, outcome: Outcome) -> None:
        result = self._results.keep(outcome.result)
        upstream = self._upstreams.keep(outcome.upstream or NOBODY)
        model = self._models.keep(outcome.model) if self._known_model(outcome.model) else OTHER
        self._calls.add((result, upstream, model))
        self._whole.add((result, model), outcome.total_ms / 1000)
        where = (upstream, model)
        if outcome.first_ms is not None:
            self._first.add(where, outcome.first_ms / 1000)
        self._count_tokens(outcome.usage, upstream, model)
        # Shown as a float of dollars; the ledger alone holds the exact sum.
        self._cost.add(where, outcome.nano_usd / 1e9)

    def attempted(self, attempt: Attempt) -> None:
        upstream, result = self._upstreams.keep(attempt.upstream), self._results.keep(attempt.result)
        self._attempts.add((upstream, result))

    def reserved(self, answer: Granted | Spent) -> None:
        self._limits.reserved(answer)

    def breaker(self, upstream: str, state: str) -> None:
        self._breakers.labels(self._upstreams.keep(upstream)).set(BREAKER_STATES.get(state, -1))

    def alerted(self, alert: Alert) -> None:
        self._limits.alerted(alert)

    def _count_tokens(self, usage: Usage, upstream: str, model: str) -> None:
        kinds = (
            ("input", usage.input),
            ("output", usage.output),
            ("cached", usage.cached),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        )
        source = usage.source
        for kind, count in kinds:
            if count:
                self._tokens.add((kind, source, upstream, model), count)


class _Limits:
    """What limits did: marks crossed, reservations refused, and how much is used."""

    def __init__(self, registry: CollectorRegistry, wall_us: Callable[[], int]) -> None:
        self._alerts, self._refusals = _Sums(ALERTS, wall_us), _Sums(REFUSALS, wall_us)
        self._counters = _Counters(wall_us)
        for each in (self._alerts, self._refusals, self._counters):
            registry.register(each)

    def alerted(self, alert: Alert) -> None:
        self._alerts.add((alert.unit.value, str(alert.mark)))

    def reserved(self, answer: Granted | Spent) -> None:
        if isinstance(answer, Spent):
            self._refused(answer)
            return
        for balance in answer.balances:
            self._counters.keep(balance)
            if balance.claim.shadow and balance.over:
                self._refused(balance)

    def _refused(self, by: Balance | Spent) -> None:
        claim = by.claim
        whose = "caller" if claim.upstream is None else "upstream"
        self._refusals.add((claim.unit.value, whose, str(claim.shadow).lower()))


class _Loads(Collector):
    """How busy upstreams say that they are. One that says nothing, or said it too long ago, has no series."""

    def __init__(self) -> None:
        self.ask: Callable[[], Loads] = dict

    def collect(self) -> Iterator[GaugeMetricFamily]:
        loads = self.ask()
        for name, about, value in LOADS:
            family = GaugeMetricFamily(f"fallthrough_upstream_{name}", about, labels=("upstream",))
            for upstream, (load, over) in loads.items():
                found = value(load, over)
                if found is not None:
                    family.add_metric((upstream,), found)
            yield family


class _Sums(Collector):
    """A counter: one sum for each combination of label values."""

    def __init__(self, what: _What, wall_us: Callable[[], int]) -> None:
        self._what = what
        self._wall_us = wall_us
        self._sums: dict[tuple[str, ...], float] = {}
        self._created: dict[tuple[str, ...], float] = {}
        """When each began, Unix seconds."""

    def add(self, labels: tuple[str, ...], amount: float = 1) -> None:
        if labels in self._sums:
            self._sums[labels] += amount
        else:
            self._sums[labels] = amount
            self._created[labels] = self._wall_us() / 1e6

    def collect(self) -> Iterator[CounterMetricFamily]:
        what = self._what
        family = CounterMetricFamily(what.name, what.help, labels=what.labels)
        for labels, amount in self._sums.items():
            family.add_metric(labels, amount, self._created[labels])
        yield family


@dataclass(slots=True)
class _Heap:
    """What was seen under one combination of label values."""

    created: float
    counts: list[int]
    """By bucket; the last is for what is beyond all bounds."""
    total: float = 0.0


class _Spread(Collector):
    """A histogram: how many amounts there were up to each bound."""

    def __init__(self, what: _What, bounds: tuple[float, ...], wall_us: Callable[[], int]) -> None:
        self._what = what
        self._bounds = bounds
        self._wall_us = wall_us
        self._heaps: dict[tuple[str, ...], _Heap] = {}

    def add(self, labels: tuple[str, ...], amount: float) -> None:
        heap = self._heaps.get(labels)
        if heap is None:
            heap = self._heaps[labels] = _Heap(self._wall_us() / 1e6, [0] * (len(self._bounds) + 1))
        heap.total += amount
        heap.counts[bisect_left(self._bounds, amount)] += 1

    def collect(self) -> Iterator[HistogramMetricFamily]:
        what = self._what
        family = HistogramMetricFamily(what.name, what.help, labels=what.labels)
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for labels, heap in self._heaps.items():
            family.add_metric(labels, list(zip(names, accumulate(heap.counts), strict=True)), heap.total)
            named = dict(zip(what.labels, labels, strict=True))
            family.add_sample(f"{what.name}_created", named, heap.created)
        yield family


class _Counters(Collector):
    """How much of each limit is used, by counter, as of the last reservation in a window that still runs.

    Counters of end persons are left out, for they are about people and their number has no end; so is
    any newcomer while the list is full.
    """

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us
        self._seen: dict[str, Balance] = {}
        self._full_until = 0
        """Unix seconds until which the list is known to stay full."""

    def keep(self, balance: Balance) -> None:
        scope = balance.claim.scope
        if scope not in self._seen:
            if "/user=" in f"/{scope}":
                return
            if len(self._seen) >= LABEL_VALUES_MAX and not self._made_room():
                return
        self._seen[scope] = balance

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self._drop_ended()
        family = GaugeMetricFamily(
            "fallthrough_limit_used_ratio",
            "Part of a limit that is used; of calls at once, held.",
            labels=("scope",),
        )
        for scope, balance in self._seen.items():
            claim = balance.claim
            amount = balance.held if claim.window_end == 0 else balance.used
            family.add_metric((scope,), amount / claim.ceiling)
        yield family

    def _made_room(self) -> bool:
        """Whether some window has ended; looked for only when one can have, for every call asks."""
        if self._wall_us() < self._full_until * 1_000_000:
            return False
        self._drop_ended()
        if len(self._seen) < LABEL_VALUES_MAX:
            return True
        ends = (balance.claim.window_end for balance in self._seen.values())
        self._full_until = min(filter(None, ends), default=NEVER_S)
        return False

    def _drop_ended(self) -> None:
        now_s = self._wall_us() // 1_000_000
        self._seen = {
            scope: balance
            for scope, balance in self._seen.items()
            if balance.claim.window_end == 0 or balance.claim.window_end > now_s
        }


class _Bounded:
    """The values a label has taken; past the cap, newcomers are `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def keep(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= LABEL_VALUES_MAX:
            return OTHER
        self._seen.add(value)
        return value
