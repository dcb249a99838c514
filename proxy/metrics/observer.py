"""The observer that Prometheus can read: what is counted when an attempt or a call ends, and as what.

`app.py` makes one, puts it among the observers, has it watch who knows more, and hands `render` to the
server. Towards upstreams the proxy is a client (`gen_ai_client_…`, one operation an attempt), towards
callers it is what the conventions call a server (`gen_ai_server_…`, one request a call).
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Protocol

from msgspec import Struct

from proxy.call import Attempt, Outcome
from proxy.holds import Alert, Granted, Pulse, Spent
from proxy.metrics.asked import Asked, Busy, LedgerPulse, Loads
from proxy.metrics.limits import Limits
from proxy.metrics.series import OTHER, SUMS_MAX, Bounded, Heap, Spread, Sum, Sums, What
from proxy.pauses import BOUNDS_S
from proxy.ports import Observer
from proxy.usage import Usage

NOBODY = "none"
OPERATION = "chat"
"""The one thing that is done here so far, by the conventions' word."""
UNNAMED = "_OTHER"
"""The conventions' word for an error that has none."""
FINE = ""
"""An `error_type` that is empty, which in Prometheus is none at all."""

ATTEMPT_ERRORS = frozenset(
    {
        "ambiguous", "auth", "bad_answer", "broken", "caller", "caller_gone", "internal_error", "model",
        "money", "off_schema", "outrun", "overload", "rate_limit", "saturated", "shutdown", "strayed",
        "too_long", "unable", "unreachable",
    }
)  # fmt: skip
"""How attempts end that do not end well: the classes of trouble, and what cuts one short."""

OPERATION_S = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
    327.68,
)
FIRST_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0,
)  # fmt: skip
"""The conventions' bounds, and some above them: what we wait for may take ten minutes."""
TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
ADDED_S = (0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Ours, fine at the foot: the proxy's own share is a few milliseconds, that of failed upstreams seconds."""
BREAKER_STATES: Mapping[str, int] = {"closed": 0, "half_open": 1, "open": 2}

WHERE = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
OPERATION_DURATION = What(
    "gen_ai_client_operation_duration_seconds", "From an attempt's start to its end.", (*WHERE, "error_type")
)
FIRST_CHUNK = What(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "Of streamed attempts: from the start to the first content.",
    WHERE,
)
PER_CHUNK = What(
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    "Of streamed attempts: from one piece that was passed on to the next.",
    WHERE,
)
TOKEN_USAGE = What("gen_ai_client_token_usage", "Tokens that attempts used.", (*WHERE, "gen_ai_token_type"))
REQUEST_DURATION = What(
    "gen_ai_server_request_duration_seconds", "From a call's arrival to its end.", (*WHERE, "error_type")
)
FIRST_TOKEN = What(
    "gen_ai_server_time_to_first_token_seconds", "From a call's arrival to its first content.", WHERE
)
PER_TOKEN = What(
    "gen_ai_server_time_per_output_token_seconds",
    "Of streamed calls that ended well: from the first content to the end, for each token after the first.",
    WHERE,
)
CALLS = What("fallthrough_calls", "Calls ended.", ("error_type", "upstream", "model"))
FALLBACKS = What(
    "fallthrough_fallbacks",
    "Calls answered by another target than the first in order.",
    ("upstream", "model"),
)
ADDED = What(
    "fallthrough_added_time_to_first_token_seconds",
    "What a caller waited for the first content beyond what the upstream that gave it took.",
    ("fallback",),
)
KINDS = What(
    "fallthrough_tokens",
    "Tokens that calls used; cached and cache_write are parts of input, reasoning is part of output.",
    ("kind", "source", "upstream", "model"),
)
COST = What("fallthrough_cost_usd", "What calls came to, US dollars.", ("upstream", "model"))
BREAKERS = What("fallthrough_breaker_state", "0 closed, 1 half open, 2 open.", ("upstream",))
CHANGES = What("fallthrough_breaker_changes", "Changes of breakers.", ("upstream", "state"))
CLOSED = What(
    "fallthrough_target_closed",
    "1: no call is sent there now, and why; an upstream, or upstream/model.",
    ("target", "why"),
)
SHED = What(
    "fallthrough_shed_calls", "Calls refused unread: too many at once, or the loop was late.", ("why",)
)
SHED_FOR = ("calls", "lag")
"""What a call is turned away for; counted from nothing, so that the first one is seen as a rise."""
READINGS = What(
    "fallthrough_load_readings",
    "Times that an upstream was asked how busy it is.",
    ("upstream", "result"),
)
LAG = What("fallthrough_loop_lag_seconds", "How late the loop was lately.")
RELOADS = What("fallthrough_table_reloads", "Tables read anew, taken or refused.", ("result",))
TAKEN, REFUSED = "taken", "refused"
"""What became of a table read anew; counted from nothing for the same reason."""
IN_FLIGHT = What("fallthrough_calls_in_flight", "Calls being answered.")


class Family(Protocol):
    """Something that scrapers read of."""

    def lines(self) -> Iterator[str]:
        """All of it, in Prometheus' text format."""
        ...


Where = tuple[str, str, str]
"""Values of the labels `WHERE`."""


class _Ended(Struct, frozen=True):
    """Where calls are counted that ended alike."""

    where: Where
    calls: Sum
    cost: Sum
    """Shown as a float of dollars; the ledger alone holds the exact sum."""
    took_s: Heap


class _Tried(Struct):
    """Where attempts are counted that ended alike."""

    where: Where
    took_s: Heap
    tokens: tuple[Heap, Heap] | None = None
    """Input and output, once some were used."""


class Metrics(Observer):
    """The `Observer` that Prometheus can read."""

    def __init__(self, known_model: Callable[[str], bool], wall_us: Callable[[], int]) -> None:
        self._known_model = known_model
        self._wall_us = wall_us
        self._models, self._upstreams, self._targets = Bounded(), Bounded(), Bounded()
        self._ended: dict[tuple[str, str | None, str], _Ended] = {}
        """By error, upstream and model, as far as there is room: what many calls need is looked up once."""
        self._tried: dict[tuple[str, str, str], _Tried] = {}
        """By result, upstream and the model's name there; likewise."""
        self._told: list[Family] = []
        """In the order of its text: what is counted here, then what is asked of others."""
        self._operation_s = self._spread(OPERATION_DURATION, OPERATION_S)
        self._first_chunk_s = self._spread(FIRST_CHUNK, OPERATION_S)
        self._per_chunk_s = self._spread(PER_CHUNK, BOUNDS_S)
        self._token_usage = self._spread(TOKEN_USAGE, TOKENS)
        self._request_s = self._spread(REQUEST_DURATION, OPERATION_S)
        self._first_token_s = self._spread(FIRST_TOKEN, FIRST_S)
        self._per_token_s = self._spread(PER_TOKEN, TOKEN_S)
        self._calls, self._fallbacks = self._sums(CALLS), self._sums(FALLBACKS)
        self._added_s = self._spread(ADDED, ADDED_S)
        self._kinds, self._cost = self._sums(KINDS), self._sums(COST)
        self._changes, self._reloads, self._shed = self._sums(CHANGES), self._sums(RELOADS), self._sums(SHED)
        for why in SHED_FOR:
            self._shed.add((why,), 0)
        for result in (TAKEN, REFUSED):
            self._reloads.add((result,), 0)
        self._readings = self._sums(READINGS)
        self._limits = Limits(wall_us)
        self._told.append(self._limits)

    def watch_in_flight(self, count: Callable[[], int]) -> None:
        """Ask `count` for the calls in flight at each scrape."""
        self._told.append(Asked(IN_FLIGHT, lambda: {(): count()}))

    def watch_breakers(self, states: Callable[[], Mapping[str, str]]) -> None:
        """Ask for the state of each upstream's breaker at each scrape."""
        self._told.append(
            Asked(BREAKERS, lambda: {(name,): BREAKER_STATES[state] for name, state in states().items()})
        )

    def watch_closed(self, troubles: Callable[[], Mapping[str, str]]) -> None:
        """Ask which targets are closed, and why, at each scrape."""
        self._told.append(Asked(CLOSED, lambda: dict.fromkeys(troubles().items(), 1)))

    def watch_lag(self, seconds: Callable[[], float]) -> None:
        """Ask how late the loop is at each scrape."""
        self._told.append(Asked(LAG, lambda: {(): seconds()}))

    def watch_loads(self, loads: Callable[[], Loads]) -> None:
        """Ask what upstreams say of themselves at each scrape."""
        self._told.append(Busy(loads))

    def watch_ledger(self, pulse: Callable[[], Pulse]) -> None:
        """Ask the ledger how it fares at each scrape."""
        self._told.append(LedgerPulse(pulse))

    def reloaded(self, taken: bool) -> None:
        """A table was read anew and taken into force, or refused for its faults, or its file was gone."""
        self._ended, self._tried = {}, {}  # which models are known may have changed
        self._reloads.add((TAKEN if taken else REFUSED,))

    def shed(self, why: str) -> None:
        """A call was turned away at the gate."""
        self._shed.add((why,))

    def load_read(self, upstream: str, succeeded: bool) -> None:
        """An upstream was asked how busy it is."""
        self._readings.add((self._upstreams.keep(upstream), "ok" if succeeded else "failed"))

    def render(self) -> bytes:
        """Everything, in Prometheus' text format. Ten thousand lines take some ten milliseconds."""
        return "".join(chain.from_iterable(each.lines() for each in self._told)).encode()

    def settled(self, outcome: Outcome) -> None:
        error = FINE if outcome.error is None else outcome.error.value
        key = (error, outcome.upstream, outcome.model)
        ended = self._ended.get(key) or self._ended_so(*key)
        ended.calls.amount += 1
        ended.cost.amount += outcome.nano_usd / 1e9
        ended.took_s.add(outcome.total_ms / 1000)
        if outcome.fallback:
            self._fallbacks.add(ended.where[1:])
        if outcome.first_ms is not None:
            self._count_times(outcome, outcome.first_ms, ended.where)
        self._count_kinds(outcome.usage, ended.where)

    def attempted(self, attempt: Attempt) -> None:
        key = (attempt.result, attempt.upstream, attempt.model)
        tried = self._tried.get(key) or self._tried_so(*key)
        tried.took_s.add((attempt.ended_ms - attempt.started_ms) / 1000)
        if attempt.pauses is not None:
            if attempt.first_ms is not None:
                self._first_chunk_s.add(tried.where, (attempt.first_ms - attempt.started_ms) / 1000)
            self._per_chunk_s.add_many(tried.where, attempt.pauses.counts, attempt.pauses.total_s)
        usage = attempt.usage
        if usage is not None:
            if tried.tokens is None:
                at = self._token_usage.at
                tried.tokens = at((*tried.where, "input")), at((*tried.where, "output"))
            asked, answered = tried.tokens
            asked.add(usage.input)
            answered.add(usage.output)

    def reserved(self, answer: Granted | Spent) -> None:
        self._limits.reserved(answer)

    def breaker(self, upstream: str, state: str) -> None:
        self._changes.add((self._upstreams.keep(upstream), state))

    def alerted(self, alert: Alert) -> None:
        self._limits.alerted(alert)

    def _ended_so(self, error: str, upstream: str | None, model: str) -> _Ended:
        known = self._known_model(model)
        named = self._upstreams.keep(upstream or NOBODY), self._models.keep(model) if known else OTHER
        where = (OPERATION, *named)
        calls, took_s = self._calls.at((error, *named)), self._request_s.at((*where, error))
        ended = _Ended(where, calls, self._cost.at(named), took_s)
        if known and len(self._ended) < SUMS_MAX:
            self._ended[error, upstream, model] = ended
        return ended

    def _tried_so(self, result: str, upstream: str, model: str) -> _Tried:
        where = (OPERATION, self._upstreams.keep(upstream), self._targets.keep(model))
        error = FINE if result == "ok" else result if result in ATTEMPT_ERRORS else UNNAMED
        tried = _Tried(where, self._operation_s.at((*where, error)))
        if len(self._tried) < SUMS_MAX:
            self._tried[result, upstream, model] = tried
        return tried

    def _count_times(self, outcome: Outcome, first_ms: int, where: Where) -> None:
        self._first_token_s.add(where, first_ms / 1000)
        if outcome.added_s is not None:
            self._added_s.add(("true" if outcome.fallback else "false",), outcome.added_s)
        after_first = outcome.usage.output - 1
        if outcome.stream and outcome.error is None and after_first > 0:
            self._per_token_s.add(where, (outcome.total_ms - first_ms) / 1000 / after_first)

    def _count_kinds(self, usage: Usage, where: Where) -> None:
        _, upstream, model = where
        source = usage.source
        if usage.input:
            self._kinds.add(("input", source, upstream, model), usage.input)
        if usage.output:
            self._kinds.add(("output", source, upstream, model), usage.output)
        if usage.cached:
            self._kinds.add(("cached", source, upstream, model), usage.cached)
        if usage.cache_write:
            self._kinds.add(("cache_write", source, upstream, model), usage.cache_write)
        if usage.reasoning:
            self._kinds.add(("reasoning", source, upstream, model), usage.reasoning)

    def _sums(self, what: What) -> Sums:
        made = Sums(what, self._wall_us)
        self._told.append(made)
        return made

    def _spread(self, what: What, bounds: tuple[float, ...]) -> Spread:
        made = Spread(what, bounds, self._wall_us)
        self._told.append(made)
        return made
