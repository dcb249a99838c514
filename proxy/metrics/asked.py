"""What others know better, asked for when somebody looks: breakers, calls in flight, the ledger.

`observer.py` keeps one of these for each thing that `app.py` has it watch. Whoever is asked must be quick
and must not raise.
"""

from collections.abc import Callable, Iterator, Mapping

from proxy.call import Load
from proxy.holds import COMMIT_BOUNDS_S, Pulse
from proxy.metrics.series import What, gauge, histogram

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


class Asked:
    """A gauge whose values somebody else has."""

    def __init__(self, what: What, ask: Callable[[], Values]) -> None:
        self._what = what
        self._ask = ask

    def lines(self) -> Iterator[str]:
        """All of it, as scrapers read it."""
        return gauge(self._what, self._ask().items())


class Busy:
    """How busy upstreams say that they are. One that says nothing, or said it too long ago, has no series."""

    def __init__(self, ask: Callable[[], Loads]) -> None:
        self._ask = ask

    def lines(self) -> Iterator[str]:
        """All of it, as scrapers read it."""
        loads = self._ask()
        for name, about, value in LOADS:
            found = {upstream: value(load, over) for upstream, (load, over) in loads.items()}
            told = [((upstream,), each) for upstream, each in found.items() if each is not None]
            yield from gauge(What(f"fallthrough_upstream_{name}", about, ("upstream",)), told)


class LedgerPulse:
    """How the ledger fares."""

    def __init__(self, ask: Callable[[], Pulse]) -> None:
        self._ask = ask

    def lines(self) -> Iterator[str]:
        """All of it, as scrapers read it."""
        pulse = self._ask()
        yield from gauge(QUEUE, [((), pulse.waiting)])
        yield from gauge(UP, [((), int(pulse.well))])
        yield from histogram(COMMITS, COMMIT_BOUNDS_S, pulse.commits, pulse.commit_s)
