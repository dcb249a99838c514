"""What happened just now: an observer that remembers an hour of minutes, for whoever looks at the proxy.

`app.py` puts one among the observers; `server/views/` shows what it has seen. It stands on the way of
every call, so telling it is a few additions to the minute that runs, and all that is asked of it is
worked out when somebody asks. It is bounded whatever happens: so many minutes, so many calls, latencies
in fixed buckets, and upstreams only under the names that the table gave them. It holds no prompt and no
answer, for no `Outcome` does. What must outlive the process (money, limits, alerts) is the ledger's.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Self

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.call import Attempt, Outcome
from proxy.ports import Observer

MINUTES = 60
"""How far back the minutes reach."""
SPAN = 5
"""How many minutes speak for an upstream: longer ago says little of how it is now."""
CALLS = 50
"""How many calls are remembered one by one."""
EDGES_MS = tuple(sorted({round(1.25**step) for step in range(61)}))
"""Latencies are counted up to these, each a quarter above the last, to eleven minutes."""
FAULTS = frozenset(
    {
        *("unreachable", "ambiguous", "overload", "saturated", "rate_limit", "money"),
        *("auth", "model", "bad_answer", "broken"),
    }
)
"""Results of attempts that speak against an upstream. A caller's own fault or leave-taking does not."""
MINUTE_US = 60_000_000


def _no_counts() -> list[int]:
    return [0] * (len(EDGES_MS) + 1)


class Reach(Struct):
    """How one upstream answered for a while."""

    attempts: int = 0
    """Those that say something of the upstream."""
    failed: int = 0
    first: list[int] = field(default_factory=_no_counts)
    """Streams by the time to their first content, in buckets; the last is beyond all edges."""
    whole: list[int] = field(default_factory=_no_counts)
    """Attempts that went well, by the time to their end."""

    def add(self, other: "Reach") -> None:
        """Count what another has seen, too."""
        self.attempts += other.attempts
        self.failed += other.failed
        self.first = [one + more for one, more in zip(self.first, other.first, strict=True)]
        self.whole = [one + more for one, more in zip(self.whole, other.whole, strict=True)]


class Minute(Struct):
    """What ended within one minute."""

    at_s: int
    """Its beginning, Unix seconds."""
    calls: int = 0
    ok: int = 0
    fallbacks: int = 0
    """Answered, but not by the first target tried."""
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0

    def add(self, other: "Minute") -> None:
        """Count what another has seen of the same minute, too."""
        self.calls += other.calls
        self.ok += other.ok
        self.fallbacks += other.fallbacks
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.nano_usd += other.nano_usd


class Seen(Struct, frozen=True):
    """All that there is to see of one process, or of several."""

    minutes: tuple[Minute, ...]
    """Those in which something ended, the oldest first."""
    upstreams: Mapping[str, Reach]
    """Of the last `SPAN` minutes, by name."""
    calls: tuple[Mapping[str, Any], ...]
    """The last calls as JSON objects, the newest first: they are only passed on."""

    @classmethod
    def together(cls, seen: Iterable["Seen"]) -> Self:
        """What several processes have seen, as if it were one."""
        minutes: dict[int, Minute] = {}
        upstreams: dict[str, Reach] = {}
        calls: list[Mapping[str, Any]] = []
        for each in seen:
            for minute in each.minutes:
                minutes.setdefault(minute.at_s, Minute(minute.at_s)).add(minute)
            for name, reach in each.upstreams.items():
                upstreams.setdefault(name, Reach()).add(reach)
            calls += each.calls
        calls.sort(key=lambda call: call["ended_us"], reverse=True)
        return cls(tuple(minutes[at_s] for at_s in sorted(minutes)), upstreams, tuple(calls[:CALLS]))


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The milliseconds within which such a share stayed, as near as the buckets tell; None: of nothing."""
    total = sum(counts)
    if total == 0:
        return None
    wanted = share * total
    edges = (0, *EDGES_MS)
    for count, until, (low, high) in zip(counts, accumulate(counts), pairwise(edges), strict=False):
        if until >= wanted and count:
            return low + (high - low) * (1 - (until - wanted) / count)
    return float(EDGES_MS[-1])


class Recent(Observer):
    """The `Observer` that remembers what was just now."""

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us
        self._minute = Minute(0)
        self._until_us = 0
        """When the minute that runs is over."""
        self._reaches: dict[str, Reach] = {}
        """Of the minute that runs."""
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)
        self._spans: deque[tuple[int, dict[str, Reach]]] = deque(maxlen=SPAN)
        """The minutes' beginnings and what upstreams did in them; the last is the one that runs."""
        self._calls: deque[Outcome] = deque(maxlen=CALLS)

    def settled(self, outcome: Outcome) -> None:
        if self._wall_us() >= self._until_us:
            self._turn()
        self._calls.append(outcome)
        minute, usage, attempts = self._minute, outcome.usage, outcome.attempts
        minute.calls += 1
        minute.input_tokens += usage.input
        minute.output_tokens += usage.output
        minute.nano_usd += outcome.nano_usd
        if outcome.result == "ok":
            minute.ok += 1
            minute.fallbacks += outcome.fallback
        if outcome.stream:
            for attempt in attempts:
                if attempt.first_ms is not None:
                    took_ms = attempt.first_ms - attempt.started_ms
                    self._reach(attempt.upstream).first[bisect_left(EDGES_MS, took_ms)] += 1

    def attempted(self, attempt: Attempt) -> None:
        if self._wall_us() >= self._until_us:
            self._turn()
        result = attempt.result
        if result == "ok":
            reach = self._reach(attempt.upstream)
            reach.attempts += 1
            reach.whole[bisect_left(EDGES_MS, attempt.ended_ms - attempt.started_ms)] += 1
        elif result in FAULTS:
            reach = self._reach(attempt.upstream)
            reach.attempts += 1
            reach.failed += 1

    def seen(self) -> Seen:
        """Everything, as of now."""
        if self._wall_us() >= self._until_us:
            self._turn()
        upstreams: dict[str, Reach] = {}
        since_s = self._minute.at_s - 60 * (SPAN - 1)
        for at_s, reaches in self._spans:
            if at_s >= since_s:
                for name, reach in reaches.items():
                    upstreams.setdefault(name, Reach()).add(reach)
        since_s = self._minute.at_s - 60 * (MINUTES - 1)
        minutes = tuple(replace(each) for each in self._minutes if each.calls and each.at_s >= since_s)
        return Seen(minutes, upstreams, tuple(map(_told, reversed(self._calls))))

    def _turn(self) -> None:
        """Begin a new minute: the last one is over. A clock that is set back only makes one longer."""
        at_s = self._wall_us() // MINUTE_US * 60
        self._until_us = (at_s + 60) * 1_000_000
        self._minute, self._reaches = Minute(at_s), {}
        self._minutes.append(self._minute)
        self._spans.append((at_s, self._reaches))

    def _reach(self, upstream: str) -> Reach:
        found = self._reaches.get(upstream)
        if found is None:
            found = self._reaches[upstream] = Reach()
        return found


def _told(outcome: Outcome) -> Mapping[str, Any]:
    """A call as it is shown: whose key, not for whom."""
    usage = outcome.usage
    return {
        "ended_us": outcome.started_us + outcome.total_ms * 1000,
        "id": outcome.call_id,
        "tenant": outcome.identity.tenant,
        "key_id": outcome.identity.key_id,
        "model": outcome.model,
        "stream": outcome.stream,
        "status": outcome.status,
        "result": outcome.result,
        "upstream": outcome.upstream,
        "upstream_model": outcome.upstream_model,
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "source": usage.source.value,
        "nano_usd": outcome.nano_usd,
        "first_ms": outcome.first_ms,
        "total_ms": outcome.total_ms,
        "attempts": [_tried(attempt) for attempt in outcome.attempts],
    }


def _tried(attempt: Attempt) -> Mapping[str, Any]:
    return {
        "upstream": attempt.upstream,
        "model": attempt.model,
        "result": attempt.result,
        "status": attempt.status,
        "phase": attempt.phase,
        "started_ms": attempt.started_ms,
        "first_ms": attempt.first_ms,
        "ended_ms": attempt.ended_ms,
        "detail": attempt.detail,
    }
