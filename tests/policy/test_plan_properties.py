"""What holds for every course a call can take."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.call import Kind, Phase, Signal
from proxy.policy.breaker import LAST_OPEN_S
from proxy.policy.health import Health
from proxy.policy.plan import (
    Answered,
    Broke,
    CallerGone,
    Done,
    Failed,
    Plan,
    PlanRules,
    Skipped,
    Try,
    Wait,
    Woke,
)
from proxy.policy.selection import Candidate
from proxy.table import BreakerRules, Target, Timeouts, Upstream

CALLERS = (Kind.BAD_REQUEST, Kind.TOO_LONG, Kind.FILTERED)
TROUBLE = [
    Signal(kind, phase, None, after)
    for kind in Kind
    if kind not in CALLERS
    for phase in (Phase.CONNECT, Phase.SENT, Phase.HEADERS)
    for after in (None, 0.0, 0.4, 3.0, 30.0)
]
NAMES = "abcd"


class SeededDice:
    """Chance that replays."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def roll(self):
        return self._random.random()

    def token(self):
        return "0" * 24


def candidates(names):
    return tuple(
        Candidate(Target(name, "m"), Upstream(name, "openai", f"http://{name}"), Timeouts()) for name in names
    )


def fresh_health():
    return Health({name: BreakerRules(failures=3, open_s=10.0) for name in NAMES})


@dataclass
class Drive:
    """Carries a plan's instructions out on a virtual clock, as the story would."""

    plan: Plan
    now: float = 0.0
    tries: list = field(default_factory=list)
    waited: float = 0.0

    def run(self, outcome, *, took=0.01):
        """`outcome(name)` is the event that an attempt at `name` ends with."""
        step = self.plan.start(self.now)
        while isinstance(step, Try | Wait):
            if isinstance(step, Wait):
                assert step.until >= self.now
                self.waited += step.until - self.now
                self.now = step.until
                step = self.plan.on(Woke(), self.now)
                continue
            self.tries.append((step.candidate.target.upstream, self.now))
            assert step.number == len(self.tries)
            self.now += took
            step = self.plan.on(outcome(step.candidate.target.upstream), self.now)
        return step


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.permutations(NAMES), st.integers(1, 3), st.integers(0, 2**32))
def test_one_healthy_upstream_is_enough(data, names, attempts, seed):
    healthy = data.draw(st.sets(st.sampled_from(NAMES), min_size=1))
    drive = Drive(Plan(candidates(names), fresh_health(), PlanRules(attempts, None, 2.0), SeededDice(seed)))

    def outcome(name):
        return Answered() if name in healthy else Failed(data.draw(st.sampled_from(TROUBLE)))

    assert drive.run(outcome) == Done()
    assert drive.tries[-1][0] in healthy


events = st.one_of(
    st.sampled_from(TROUBLE).map(Failed),
    st.sampled_from(TROUBLE).map(Broke),
    st.sampled_from(CALLERS).map(lambda kind: Failed(Signal(kind, Phase.HEADERS, 400))),
    st.builds(Skipped, st.just("limit spent"), st.none() | st.floats(0, 100)),
    st.just(Answered()),
    st.just(CallerGone()),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 3), st.none() | st.floats(0, 20), st.floats(0, 10), st.integers(0, 2**32))
def test_bounds_hold_on_every_course(data, attempts, deadline, patience, seed):
    """Attempts and waits are bounded, nothing starts late, every ticket comes back exactly once."""
    health, now = fresh_health(), 0.0
    for call in range(6):
        rules = PlanRules(attempts, None if deadline is None else now + deadline, patience)
        drive = Drive(Plan(candidates(NAMES), health, rules, SeededDice(seed + call)), now)
        drive.run(lambda _: data.draw(events), took=data.draw(st.sampled_from([0.0, 0.5, 3.0])))
        assert health.outstanding == 0
        assert max(Counter(name for name, _ in drive.tries).values(), default=0) <= attempts
        assert all(rules.deadline is None or at < rules.deadline for _, at in drive.tries)
        assert drive.waited <= patience + attempts * len(NAMES) * 1.0
        now = drive.now


def planned(rules, seconds, *, last):
    """The attempts that an outage of so many seconds may cost an upstream: what opens it, then its probes."""
    attempts, at, open_s = rules.failures, 0.0, rules.open_s
    while (at := at + (LAST_OPEN_S if last else open_s)) < seconds:
        attempts, open_s = attempts + 1, min(2 * open_s, rules.open_max_s)
    return attempts


@pytest.mark.fault("b1-outage", "d12-storm")
@pytest.mark.parametrize("rate", [10, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_ten_minutes_of_total_outage_cost_each_upstream_no_more_than_its_plan_of_probes(rate):
    """All down: what opens each breaker, the probes after that, and at most 5 % more."""
    rules = BreakerRules(failures=5, open_s=60.0, open_max_s=300.0)
    health = Health(dict.fromkeys(NAMES, rules))
    tried = Counter()
    for tick in range(600 * rate):
        rolls = SeededDice(tick)
        drive = Drive(Plan(candidates(NAMES), health, PlanRules(2, None, 0.0), rolls), tick / rate)
        drive.run(lambda _: Failed(Signal(Kind.OVERLOADED, Phase.HEADERS, 503)), took=0.0)
        tried.update(name for name, _ in drive.tries)
    for name in NAMES:
        assert 5 < tried[name] <= 1.05 * planned(rules, 600.0, last=name == NAMES[-1])


def test_an_outage_with_calls_in_parallel_gives_each_upstream_one_probe_at_a_time():
    health = fresh_health()
    for name in NAMES:
        for _ in range(3):
            plan = Plan(candidates(name), health, PlanRules(1, None, 0.0), SeededDice(0))
            Drive(plan).run(lambda _: Failed(Signal(Kind.RESET, Phase.SENT)))
    plans = [Plan(candidates(NAMES), health, PlanRules(1, None, 0.0), SeededDice(0)) for _ in range(1000)]
    steps = [plan.start(100.0) for plan in plans]
    probes = Counter(step.candidate.target.upstream for step in steps if isinstance(step, Try))
    assert probes == {"a": 1, "b": 1, "c": 1, "d": 4}
    for plan in plans:
        plan.on(CallerGone(), 101.0)
    assert health.outstanding == 0
    assert isinstance(Plan(candidates("a"), health, PlanRules(1, None, 0.0), SeededDice(0)).start(102.0), Try)
