"""What limits did: marks crossed, reservations refused, and how much of each is used.

Told by `observer.py`. Counters of end persons are left out, for they are about people.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from proxy.holds import Alert, Balance, Granted, Spent
from proxy.metrics.series import LABEL_VALUES_MAX, Sums, What

NEVER_S = 2**40

ALERTS = What("fallthrough_limit_alerts", "Marks that limits crossed.", ("unit", "mark"))
REFUSALS = What(
    "fallthrough_limit_refusals",
    "Reservations that a limit refused, or would have, were it no shadow.",
    ("unit", "of", "shadow"),
)
USED = What(
    "fallthrough_limit_used_ratio", "Part of a limit that is used; of calls at once, held.", ("scope",)
)


class Limits:
    """Everything that is told of limits."""

    def __init__(self, registry: CollectorRegistry, wall_us: Callable[[], int]) -> None:
        self._alerts, self._refusals = Sums(ALERTS, wall_us), Sums(REFUSALS, wall_us)
        self._counters = _Counters(wall_us)
        registry.register(self._counters)

    def lines(self) -> Iterator[str]:
        """What was counted; what is used is the registry's to tell."""
        yield from self._alerts.lines()
        yield from self._refusals.lines()

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
        family = GaugeMetricFamily(USED.name, USED.help, labels=USED.labels)
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
