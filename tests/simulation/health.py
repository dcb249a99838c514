"""The health of the house, watched: every question and every answer goes past the referee."""

from collections.abc import Mapping

from proxy.call import Signal
from proxy.policy.classify import Verdict
from proxy.policy.health import NO_LIMITS, UNTOLD, Health
from proxy.policy.leave import Closed, Ticket
from proxy.policy.places import Turn
from proxy.ports import Dice
from proxy.table import BreakerRules, LoadRules, Target
from tests.simulation.referee import Referee
from tests.simulation.visits import VISIT, Life, Try


class WatchedHealth(Health):
    """`Health` as it is, and a referee beside it."""

    def __init__(
        self,
        life: Life,
        referee: Referee,
        rules: Mapping[str, BreakerRules],
        streams: Mapping[str, int],
        loads: Mapping[str, LoadRules],
    ) -> None:
        super().__init__(rules, streams, loads)
        self._life = life
        self._referee = referee
        self._stations = referee.stations_of(rules, streams)
        self._tries: dict[Ticket, Try] = {}

    @classmethod
    def maker(cls, life: Life, referee: Referee):
        """What stands where the house makes its health."""

        def made(
            rules: Mapping[str, BreakerRules],
            streams: Mapping[str, int] = NO_LIMITS,
            loads: Mapping[str, LoadRules] = UNTOLD,
        ) -> "WatchedHealth":
            return cls(life, referee, rules, streams, loads)

        return made

    def admit(
        self, target: Target, now: float, *, last: bool, again: bool = False, turn: Turn | None = None
    ) -> Ticket | Closed:
        station = self._stations[target.upstream]
        if not self._life.dead:
            self._referee.knocked(VISIT.get(), target, station)
        door = super().admit(target, now, last=last, again=again, turn=turn)
        if isinstance(door, Ticket) and not self._life.dead:
            attempt = self._referee.admitted(VISIT.get(), target, station, last=last)
            self._tries[door] = attempt
            self._compare(attempt, "let in")
            attempt.turn = station.turns
            attempt.probe = station.state == "half_open"
        return door

    def began(self, ticket: Ticket, now: float) -> None:
        super().began(ticket, now)
        if not self._life.dead:
            attempt = self._tries[ticket]
            self._referee.began(attempt)
            probed = attempt.probe
            self._compare(attempt, "began")
            if probed:
                attempt.turn = attempt.station.turns

    def answered(self, ticket: Ticket, now: float) -> None:
        super().answered(ticket, now)
        if not self._life.dead:
            attempt = self._tries[ticket]
            self._referee.answered(attempt)
            self._compare(attempt, "answered")

    def left(self, ticket: Ticket) -> None:
        super().left(ticket)
        if not self._life.dead:
            attempt = self._tries[ticket]
            self._referee.left(attempt)
            self._compare(attempt, "left")

    def failed(self, ticket: Ticket, verdict: Verdict, signal: Signal, now: float, dice: Dice) -> None:
        super().failed(ticket, verdict, signal, now, dice)
        if not self._life.dead:
            attempt = self._tries[ticket]
            counts = self._referee.failed(attempt, verdict, signal)
            self._compare(attempt, "failed" if counts else "failed for another reason")

    def _compare(self, attempt: Try, why: str) -> None:
        """What the breaker of that upstream has become."""
        state = self._upstreams[attempt.station.name].breaker.state.value
        if state != attempt.station.state:
            self._referee.turned(attempt.station, state, why)
        elif why == "failed":
            self._referee.stayed(attempt.station)
