"""What limits did: marks crossed, reservations refused, and how much of each is used.

Told by `observer.py`. Counters of end persons are left out, for they are about people.
"""

from collections.abc import Callable, Iterator

from proxy.holds import NEARLY, Alert, Balance, Granted, Spent
from proxy.metrics.series import LABEL_VALUES_MAX, Sums, What, gauge

NEVER_S = 2**40

ALERTS = What("fallthrough_limit_alerts", "Marks that limits crossed.", ("unit", "mark"))
REFUSALS = What(
    "fallthrough_limit_refusals",
    "Reservations that a limit refused, or would have, were it no shadow.",
    ("unit", "of", "shadow"),
)
USED = What(
    "fallthrough_limit_used_ratio",
    "Part of a limit that is used, 1 once it is as good as spent; of calls at once, held.",
    ("scope",),
)


class Limits:
    """Everything that is told of limits."""

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._alerts, self._refusals = Sums(ALERTS, wall_us), Sums(REFUSALS, wall_us)
        self._counters = _Counters(wall_us)

    def lines(self) -> Iterator[str]:
        """What was counted, and what is used."""
        for each in (self._alerts, self._refusals, self._counters):
            yield from each.lines()

    def alerted(self, alert: Alert) -> None:
        self._alerts.add((alert.unit.value, str(alert.mark)))

    def reserved(self, answer: Granted | Spent) -> None:
        if isinstance(answer, Spent):
            self._refused(answer)
            self._counters.spend(answer)
            return
        for balance in answer.balances:
            self._counters.keep(balance)
            if balance.claim.shadow and balance.over:
                self._refused(balance)
                self._counters.spend(Spent(balance.claim, balance.used, balance.held))

    def _refused(self, by: Balance | Spent) -> None:
        claim = by.claim
        whose = "caller" if claim.upstream is None else "upstream"
        self._refusals.add((claim.unit.value, whose, str(claim.shadow).lower()))


class _Counters:
    """How much of each limit is used, by counter, as of the last reservation in a window that still runs.

    What a reservation finds used lacks its own call and those under way, so that no granted one ever finds
    all of it used. A limit that is as good as spent is shown as spent from its first refusal on, as its alert
    is told: until its window ends, or less of it turns out to be used, as after a reset.

    Counters of end persons are left out, for they are about people and their number has no end; so is
    any newcomer while the list is full.
    """

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us
        self._seen: dict[str, Balance | Spent] = {}
        self._exhausted: set[str] = set()
        self._full_until = 0
        """Unix seconds until which the list is known to stay full."""

    def keep(self, balance: Balance | Spent) -> None:
        """What a reservation found."""
        scope = balance.claim.scope
        if scope in self._exhausted:
            self._relax(balance, self._seen[scope])
        elif scope not in self._seen:
            if "/user=" in f"/{scope}":
                return
            if len(self._seen) >= LABEL_VALUES_MAX and not self._made_room():
                return
        self._seen[scope] = balance

    def spend(self, spent: Spent) -> None:
        """What a reservation found that was refused, or would have been."""
        self.keep(spent)
        if spent.exhausted and spent.claim.scope in self._seen:
            self._exhausted.add(spent.claim.scope)

    def lines(self) -> Iterator[str]:
        """All of it, as scrapers read it."""
        self._drop_ended()
        return gauge(USED, [((scope,), self._part(scope)) for scope in self._seen])

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
        self._exhausted &= self._seen.keys()

    def _part(self, scope: str) -> float:
        balance = self._seen[scope]
        part = (balance.held if balance.claim.window_end == 0 else balance.used) / balance.claim.ceiling
        return max(part, 1.0) if scope in self._exhausted else part

    def _relax(self, balance: Balance | Spent, last: Balance | Spent) -> None:
        """Take a counter for spent no longer, if it begins anew or much of it is free again."""
        claim = balance.claim
        if claim.window != last.claim.window or balance.used * 100 < NEARLY * claim.ceiling:
            self._exhausted.discard(claim.scope)
