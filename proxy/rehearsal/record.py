"""The record of a rehearsal: what happened, when, and what became of every call.

An observer of the story like any other, told of each call by `play.py`, and asked once a second to look at
what nobody tells: accounts and models that were given up. It decides nothing.
"""

import re
from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from proxy.call import Outcome
from proxy.holds import Granted, Spent
from proxy.policy.classify import Class
from proxy.policy.health import Health
from proxy.ports import Observer
from proxy.rehearsal.callers import WHOLE, Arrival, Listener
from proxy.usage import NOTHING, Usage

IN_A_ROW = 3
"""Answers of a model by another upstream, after which that one is said to answer."""
LASTING = frozenset({Class.MONEY.value, Class.AUTH.value, Class.MODEL.value})
"""Trouble that no breaker of an upstream tells."""

_WHOSE = re.compile(r"=[^/]*")


class Happened(Struct, frozen=True):
    """A line of the timeline."""

    at: float
    kind: str
    """`act`, `breaker`, `answers`, `limit`, `trouble` or `callers`."""
    text: str


class Visit(Struct, frozen=True):
    """What became of one call."""

    at: float
    model: str
    result: str
    """`whole`, `broken`, `garbled`, `left`, or the code of the error that was told."""
    upstream: str | None
    """Who answered."""
    first_s: float | None
    """From its arrival to its first word."""
    added_s: float | None
    """The part of that which went by before the one who answered was asked."""
    nano_usd: int
    usage: Usage


class Record(Observer):
    """An `Observer` that forgets nothing it is asked for."""

    def __init__(self, hour: Callable[[], float]) -> None:
        self._hour = hour
        self.happened: list[Happened] = []
        self.visits: list[Visit] = []
        self.breakers: dict[str, Counter[str]] = {}
        """How often each upstream's came to each state."""
        self.refusals: Counter[str] = Counter()
        """By limit, whoever's counter it was."""
        self._outcomes: dict[str, Outcome | None] = {}
        """Of the calls under way: who calls beside a rehearsal is none of its business."""
        self._answering: dict[str, str] = {}
        self._row: dict[str, tuple[str, float, int]] = {}
        """For each model who answered last but does not answer yet: since when, how often in a row."""
        self._told: set[tuple[str, int]] = set()
        self._troubles: set[str] = set()
        """Accounts and models that were given up and have not answered since."""

    def note(self, kind: str, text: str, at: float | None = None) -> None:
        """Add a line to the timeline, now or at a moment."""
        self.happened.append(Happened(self._hour() if at is None else at, kind, text))

    # ── the observer ──────────────────────────────────────────────────────────────────────────────

    def settled(self, outcome: Outcome) -> None:
        if outcome.call_id in self._outcomes:
            self._outcomes[outcome.call_id] = outcome

    def reserved(self, answer: Granted | Spent) -> None:
        if isinstance(answer, Granted):
            return
        claim = answer.claim
        limit = _WHOSE.sub("=…", claim.scope)
        self.refusals[limit] += 1
        if (limit, claim.window) not in self._told:
            self._told.add((limit, claim.window))
            whose = "its callers are refused" if claim.upstream is None else f"{claim.upstream} is skipped"
            self.note("limit", f"{claim.scope} can take no more: {whose}")

    def breaker(self, upstream: str, state: str) -> None:
        self.breakers.setdefault(upstream, Counter())[state] += 1
        self.note("breaker", f"{upstream}: {state.replace('_', ' ')}")

    # ── told by the rehearsal ─────────────────────────────────────────────────────────────────────

    def expect(self, arrival: Arrival) -> None:
        """A call is about to be made."""
        self._outcomes[arrival.call.id] = None

    def visited(self, arrival: Arrival, listener: Listener, result: str) -> None:
        """A call is over for whoever made it."""
        outcome = self._outcomes.pop(arrival.call.id, None)
        if result == WHOLE and outcome is not None:
            self._taken_up(f"{outcome.upstream}", f"{outcome.upstream}/{outcome.upstream_model}")
        begun = listener.begun
        self.visits.append(
            Visit(
                at=arrival.at,
                model=arrival.call.model,
                result=result,
                upstream=listener.upstream,
                first_s=None if begun is None else begun - arrival.at,
                added_s=None if outcome is None else _added(outcome),
                nano_usd=0 if outcome is None else outcome.nano_usd,
                usage=NOTHING if outcome is None else outcome.usage,
            )
        )
        if result == WHOLE and listener.upstream is not None:
            self._answered(arrival.call.model, listener.upstream)

    def look(self, health: Health, now: float) -> None:
        """Note accounts and models that were given up since the last look; `now` as `health` counts it."""
        for name, why in sorted(health.troubles(now).items()):
            if why in LASTING and name not in self._troubles:
                self._troubles.add(name)
                self.note("trouble", f"{name} is given up for now: {why}")

    def _taken_up(self, *names: str) -> None:
        """Note that one of these answers which was given up."""
        for name in names:
            if name in self._troubles:
                self._troubles.remove(name)
                self.note("trouble", f"{name} answers again")

    def _answered(self, model: str, upstream: str) -> None:
        """Note who answers for a model, once it is more than a single answer."""
        now = self._hour()
        before = self._answering.get(model)
        if before in (None, upstream):
            if before is None:
                self.note("answers", f"{model} is answered by {upstream}")
            self._answering[model] = upstream
            self._row.pop(model, None)
            return
        who, since, times = self._row.get(model, (upstream, now, 0))
        since, times = (since, times + 1) if who == upstream else (now, 1)
        if times < IN_A_ROW:
            self._row[model] = (upstream, since, times)
            return
        self.note("answers", f"{model} is answered by {upstream}, no more by {before}", since)
        self._answering[model] = upstream
        del self._row[model]


def _added(outcome: Outcome) -> float | None:
    """Seconds that went by before the upstream which had the first word was asked."""
    return next((one.started_ms / 1000 for one in outcome.attempts if one.first_ms is not None), None)
