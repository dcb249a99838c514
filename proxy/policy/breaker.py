"""One circuit breaker: a small state machine over handed-in time.

`health.py` keeps one for each upstream, and for accounts and models that were refused; nobody else
touches them. Every change of state starts a new generation, and an outcome of an older generation
is ignored, so that a slow answer from before an outage cannot close what the outage opened. It must
never count a caller who left as success or failure.

    CLOSED ──failures in a row──▶ OPEN ──open time over──▶ HALF_OPEN ──probe succeeds──▶ CLOSED
                                   ▲                           │
                                   └────────probe fails────────┘

After it closed again, traffic does not come back at once: a share of it that grows is let in first, or
an upstream that has just risen would be knocked down by all who waited for it.
"""

from enum import StrEnum

from msgspec import Struct

from proxy.table import BreakerRules

LAST_OPEN_S = 1.0
"""Open time of the last resort of a route: it stays probeable."""
LAST_PROBES = 4
PROBE_WAIT_S = 0.25
"""When to look again while all probe slots are taken."""
JITTER = 0.2
"""Share of the open time added by chance. Below the doubling, so that open times never shrink."""
RAMP_S = 10.0
"""From the first call that is let in to all of them."""
RAMP_FROM = 0.1
"""The share that is let in first."""


class State(StrEnum):
    """Whether traffic flows."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Pass(Struct, frozen=True):
    """Leave to make one attempt; handed back with its outcome."""

    generation: int
    probe: int = 0
    """Which of the breaker's probes the attempt is; 0: none, for traffic flowed."""


class Breaker:
    """Opens after consecutive failures, lets a probe through after a while, closes when it succeeds."""

    __slots__ = (
        "_calm_since", "_failures", "_generation", "_issued", "_level", "_opened", "_probes", "_recovered",
        "_room", "_until", "calm", "common", "rules", "state",
    )  # fmt: skip

    def __init__(self, rules: BreakerRules) -> None:
        self.rules = rules
        self.state = State.CLOSED
        self.calm = True
        """Closed, with no failure and no opening to forget: all may go, and a success tells it nothing."""
        self.common = Pass(0)
        """The leave of everybody who goes while it is closed."""
        self._generation = 0
        self._issued = 0
        """How many probes there were."""
        self._failures = 0
        self._level = 0
        """How many times the next open time is doubled."""
        self._opened = 0.0
        self._until = 0.0
        self._calm_since = 0.0
        self._recovered = -RAMP_S
        """When it closed again."""
        self._room = 1.0
        """Since then each caller brings his share of one place; who is let in takes a whole one."""
        self._probes: set[int] = set()

    def __repr__(self) -> str:
        detail = {
            State.CLOSED: f"failures={self._failures}/{self.rules.failures}",
            State.OPEN: f"until={self._until:g}",
            State.HALF_OPEN: f"probes={len(self._probes)}",
        }[self.state]
        return f"Breaker({self.state} {detail} level={self._level} generation={self._generation})"

    def closed_until(self, now: float, *, last: bool = False) -> float | None:
        """None: an attempt may be made now; else when to ask again, always later than `now`."""
        if self.state is State.OPEN:
            until = min(self._until, self._opened + LAST_OPEN_S) if last else self._until
            return until if now < until else None
        if self.state is State.HALF_OPEN and len(self._probes) >= (LAST_PROBES if last else 1):
            return now + PROBE_WAIT_S
        return None

    def recovering_until(self, now: float) -> float | None:
        """None: all may go, or one more is within the share that may; else when to ask again."""
        if self.state is not State.CLOSED or self._share(now) >= 1.0 or self._room >= 1.0:
            return None
        return now + PROBE_WAIT_S

    def knocked(self, now: float, *, let_in: bool) -> None:
        """Somebody wanted in while the share grows, and was let in or turned away."""
        self._room = min(2.0, self._room + min(1.0, self._share(now)) - let_in)

    def _share(self, now: float) -> float:
        return RAMP_FROM + (now - self._recovered) / RAMP_S

    def enter(self) -> Pass:
        """Take leave for one attempt; only after `closed_until` said None at the same `now`."""
        if self.state is State.CLOSED:
            return self.common
        if self.state is State.OPEN:
            self._turn(State.HALF_OPEN)
        self._issued += 1
        self._probes.add(self._issued)
        return Pass(self._generation, self._issued)

    def is_probe(self, leave: Pass) -> bool:
        """Whether the attempt is one that the breaker's next state hangs on."""
        return leave.probe in self._probes

    def success(self, leave: Pass, now: float) -> None:
        """The attempt was answered."""
        if leave.generation != self._generation:
            return
        self._failures = 0
        if self.state is State.HALF_OPEN:
            self._turn(State.CLOSED)
            self._calm_since = self._recovered = now
            self._room = 1.0
        # The memory of past openings fades with time in health, not with one lucky probe:
        # otherwise an upstream that flaps would be probed at the shortest interval for ever.
        while self._level and now - self._calm_since >= self.rules.open_s:
            self._level -= 1
            self._calm_since += self.rules.open_s
        self.calm = self._level == 0 and self._share(now) >= 1.0

    def failure(self, leave: Pass, now: float, roll: float) -> None:
        """The attempt failed by this breaker's fault."""
        if leave.generation != self._generation:
            return
        self.calm = False
        self._failures += 1
        if self.state is State.HALF_OPEN or self._failures >= self.rules.failures:
            self._open(now, roll)

    def neutral(self, leave: Pass) -> None:
        """The attempt says nothing (the caller left, or something else was at fault): free its slot."""
        self._probes.discard(leave.probe)

    def _open(self, now: float, roll: float) -> None:
        grown = self.rules.open_s * 2.0 ** min(self._level, 32) * (1.0 + JITTER * roll)
        self._turn(State.OPEN)
        self._opened = now
        self._until = now + max(0.0, min(grown, self.rules.open_max_s))
        self._level = min(self._level + 1, 32)
        self._failures = 0

    def _turn(self, state: State) -> None:
        self.state = state
        self._generation += 1
        self.common = Pass(self._generation)
        self._probes.clear()
