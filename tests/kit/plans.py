"""Dialogues with a plan, without a story around it: events go in, instructions come out as words."""

from dataclasses import dataclass, field
from itertools import zip_longest

from proxy.abilities import ModelFacts
from proxy.call import Kind, Phase, Signal
from proxy.policy.health import Health
from proxy.policy.plan import Continue, Done, Failed, Plan, PlanRules, Restart, Stop, Try, Wait
from proxy.policy.selection import Candidate, PassedOver
from proxy.table import BreakerRules, OnMidstream, Target, Timeouts, Upstream

RULES = BreakerRules(failures=5, open_s=60.0)
OVERLOAD = Failed(Signal(Kind.OVERLOADED, Phase.HEADERS, 503))
REFUSED = Failed(Signal(Kind.UNREACHABLE, Phase.CONNECT))
SLOW = Failed(Signal(Kind.TIMEOUT, Phase.SENT))
RESET = Failed(Signal(Kind.RESET, Phase.SENT))
NO_MONEY = Failed(Signal(Kind.NO_CREDIT, Phase.HEADERS, 429))
BAD_KEY = Failed(Signal(Kind.BAD_KEY, Phase.HEADERS, 401))
UNABLE = Failed(Signal(Kind.UNABLE, Phase.CONNECT))
TOO_LONG = Failed(Signal(Kind.TOO_LONG, Phase.HEADERS, 400))


def limited(seconds):
    return Failed(Signal(Kind.RATE_LIMITED, Phase.HEADERS, 429, seconds))


class FixedDice:
    """Always the same roll."""

    def __init__(self, roll=0.5):
        self._roll = roll

    def roll(self):
        return self._roll

    def token(self):
        return "0" * 24


def candidates(names, contexts=(), going_on=""):
    return tuple(
        Candidate(
            Target(name, "m", facts=ModelFacts(context=context, prefill=name in going_on)),
            Upstream(name, "openai", f"http://{name}"),
            Timeouts(),
        )
        for name, context in zip_longest(names, contexts)
    )


@dataclass
class Dialogue:
    """One call: `say` an event at a time, get the instruction as words."""

    names: str = "abc"
    attempts: int = 2
    deadline: float | None = None
    wait_max_s: float = 0.0
    health: Health | None = None
    roll: float = 0.5
    contexts: tuple[int | None, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    on_midstream: OnMidstream = OnMidstream.ERROR
    going_on: str = ""
    """Names of those who can go on with a partial answer."""
    repeated: bool = False
    in_place_s: float | None = None
    plan: Plan = field(init=False)

    def __post_init__(self):
        self.health = self.health or Health(dict.fromkeys("abc", RULES))
        rules = PlanRules(
            self.attempts,
            self.deadline,
            self.wait_max_s,
            self.on_midstream,
            self.repeated,
            in_place_s=self.in_place_s,
        )
        listed = candidates(self.names, self.contexts, self.going_on)
        self.plan = Plan(listed, self.health, rules, FixedDice(self.roll), self.passed_over)
        self.failure = None

    def start(self, now=0.0):
        return self.words(self.plan.start(now))

    def say(self, event, now=0.0):
        return self.words(self.plan.on(event, now))

    def words(self, instruction):
        match instruction:
            case Try(candidate, number):
                return f"try {candidate.target.upstream} #{number}"
            case Continue(candidate, number):
                return f"continue {candidate.target.upstream} #{number}"
            case Restart(candidate, number):
                return f"restart {candidate.target.upstream} #{number}"
            case Wait(until):
                return f"wait {until:g}"
            case Done():
                return "done"
            case Stop(failure):
                self.failure = failure
                return f"stop {failure.told.status} {failure.told.code}"

    def told(self):
        assert self.health.outstanding == 0
        return self.failure.told


def opened(*names):
    """Health in which these upstreams were opened at time 0."""
    health = Health(dict.fromkeys("abc", RULES))
    for name in names:
        for _ in range(RULES.failures):
            talk = Dialogue(name, attempts=1, health=health, roll=0.0)
            talk.start()
            talk.say(OVERLOAD)
    health.changes()
    return health
