"""The records of the simulation: a visit for each call, a try for each ticket, a station for each upstream.

They hold what really happened, as the world made it happen. The referee judges the story by them, and never
by what the story says of itself.
"""

import random
import re
from contextvars import ContextVar
from dataclasses import dataclass, field

from proxy.call import Call, Outcome
from proxy.errors import Failure
from proxy.table import BreakerRules, OnMidstream, Route, Table, Target
from tests.simulation.weather import Script

NEVER = float("inf")
WORD = re.compile(r"\s*\S+\s*")


@dataclass(slots=True)
class Life:
    """One process, from its start to its end."""

    number: int
    dead: bool = False
    """It has crashed: whatever its tasks still do happens no more."""
    draining: bool = False
    generations: int = 0
    """How many tables were in force."""


@dataclass(slots=True, eq=False)
class Station:
    """One upstream for as long as tables name it without a break."""

    name: str
    rules: BreakerRules
    limit: int | None
    limited: float = -NEVER
    """When that limit came into force: in that moment a place may still be taken that was granted before."""
    state: str = "closed"
    turns: int = 0
    """How often the breaker has changed."""
    opened: float = 0.0
    opened_by: BreakerRules | None = None
    closed: float = -NEVER
    """When it last recovered."""
    row: int = 0
    """Faults one after another since the last turn, of attempts that began after it."""
    faults: int = 0
    """All faults since the breaker last closed."""
    out: list["Try"] = field(default_factory=list)
    """Tickets not yet back."""
    tried: list[tuple[float, bool]] = field(default_factory=list)
    """When each ticket was given, and whether for a second try."""
    allowance: float = 0.0
    """While it recovers: how many may have been let in by now, at most."""
    let_in: int = 0


@dataclass(slots=True, eq=False)
class Try:
    """One ticket and what came of it."""

    visit: "Visit"
    target: Target
    station: Station
    admitted: float
    turn: int
    """Turns of the breaker when it was given."""
    last: bool
    probe: bool = False
    script: Script | None = None
    """What the upstream does; None: it was never asked."""
    answer: str = ""
    """The whole text that the caller would have if all of this came."""
    open: bool = False
    faulted: bool = False
    """The fault has been felt."""
    complete: bool = False
    """All of a whole answer was read."""
    result: str | None = None
    """As the story noted it."""

    def __str__(self) -> str:
        kind = self.script.kind if self.script else "not sent"
        return f"{self.visit.call.id}→{self.target.upstream}/{self.target.model}[{kind}]"


@dataclass(slots=True, eq=False)
class Visit:
    """One call, from its arrival to its end."""

    call: Call
    life: Life
    table: Table
    route: Route
    generation: int
    began: float
    text: str
    """What a truthful upstream says."""
    tries: list[Try] = field(default_factory=list)
    asked_for: set[Target] = field(default_factory=set)
    """Targets of which it was asked whether they may be tried."""
    gone: bool = False
    """The caller has hung up."""
    left_at: float = NEVER
    """The step at which it did."""
    started: bool = False
    """Its story was begun; who leaves at once has none."""
    begun: float | None = None
    """When it had the first content."""
    slept: float = 0.0
    """Seconds for which its slow reader made the story wait."""
    shown: str = ""
    """The text it has got."""
    outcome: Outcome | None = None
    undisturbed: bool = False
    """It came to its outcome before anybody cut it short."""
    failure: Failure | None = None
    over: bool = False
    refused: bool = False
    """The ledger refused it."""

    @property
    def mends(self) -> bool:
        return self.route.on_midstream is not OnMidstream.ERROR

    @property
    def end(self) -> float:
        """When its patience ends, as things stand."""
        call = self.call
        end = NEVER if call.patience_s is None else self.began + call.patience_s
        if self.begun is None and call.silence_s is not None:
            end = min(end, self.began + call.silence_s * 0.95)
        return end

    @property
    def order(self) -> list[Target]:
        """Its targets, the one that the caller prefers first."""
        return sorted(self.route.targets, key=lambda one: one.upstream != self.call.preferred)

    @property
    def under_way(self) -> list[Try]:
        """Tries whose bodies are open."""
        return [one for one in self.tries if one.open]

    def words(self, prefix: str, dice: random.Random) -> list[str]:
        """What the next upstream says after `prefix`: what is left, or what only it would say."""
        text = self.text
        if not self.mends or dice.random() < 0.15:
            text = text.replace(".0.", f".{len(self.tries)}.")
        if not text.startswith(prefix):
            return [" lost"]
        return WORD.findall(text[len(prefix) :])


VISIT: ContextVar[Visit] = ContextVar("visit")
"""Whose story is being told; tasks of a race inherit it."""
