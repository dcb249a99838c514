"""One life of the process: the house with its table, its callers and the file that people edit."""

import asyncio
import random
from dataclasses import dataclass

from proxy.audience import Audience
from proxy.call import Attempt, Call, Outcome
from proxy.config import ConfigError, Loaded
from proxy.config.regular import Stamp
from proxy.config.settings import Settings
from proxy.duties.reload import EVERY_S, Standing, fresh_snapshot, reload_table
from proxy.errors import Failure, Refused
from proxy.holds import Alert
from proxy.ports import Observer
from proxy.relay import Desk
from proxy.store.recall import MemoryRecall
from proxy.table import Table
from tests.kit.virtual import SeededDice, VirtualClock
from tests.simulation.caller import SimulatedCaller
from tests.simulation.ledger import LedgerDoor, ModelLedger
from tests.simulation.referee import Referee
from tests.simulation.scenario import Arrival
from tests.simulation.upstreams import SimulatedUpstreams
from tests.simulation.visits import NEVER, VISIT, Life, Visit

PATIENT_S = 4.7
"""Whoever waits so long has an answer of an upstream that is asked first and always well."""


@dataclass(frozen=True, slots=True)
class Notes(Observer):
    """The Observer port."""

    life: Life
    referee: Referee

    def settled(self, outcome: Outcome) -> None:
        if not self.life.dead:
            self.referee.settled(VISIT.get(), outcome)

    def attempted(self, attempt: Attempt) -> None:
        if not self.life.dead:
            self.referee.noted(VISIT.get(), attempt)

    def breaker(self, upstream: str, state: str) -> None:
        if not self.life.dead:
            self.referee.trace.say("told", upstream, state)
            self.referee.told[upstream] = state

    def alerted(self, alert: Alert) -> None:
        raise AssertionError("the story raises no alerts")


@dataclass(slots=True)
class EditedFile:
    """The file of the table: edits at their times, None for one with a fault."""

    edits: list[tuple[float, Table | None]]
    stamp: int = 0
    table: Table | None = None

    def look(self) -> Stamp:
        return (self.stamp, 0, 0)

    def read(self) -> Loaded:
        if self.table is None:
            raise ConfigError(())
        return Loaded(Settings(), self.table, ())

    async def sleep(self, seconds: float) -> None:
        """Between two looks nothing happens until the next edit."""
        if seconds != EVERY_S:
            await asyncio.sleep(seconds)
            return
        if not self.edits:
            await asyncio.Event().wait()
        at, self.table = self.edits.pop(0)
        await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
        self.stamp += 1


class House:
    """The process, as far as it tells stories."""

    def __init__(
        self, life: Life, referee: Referee, table: Table, upstreams: SimulatedUpstreams, ledger: ModelLedger
    ) -> None:
        self.life = life
        self.visits: list[Visit] = []
        self.steady: str | None = None
        self._referee = referee
        self._trace = referee.trace
        self._ledger = ledger
        self._tasks: set[asyncio.Task] = set()
        self._leaving: list[tuple[int, asyncio.Task, Visit]] = []
        self._dice = random.Random(life.number)
        clock = VirtualClock()
        desk = Desk(
            fresh_snapshot(table),
            upstreams,
            LedgerDoor(ledger, life),
            MemoryRecall(clock),
            clock,
            SeededDice(life.number),
            Audience.of(Notes(life, referee)),
        )
        self.standing = Standing(desk, Settings(), lambda edited: edited)
        self.snapshots = [desk.snapshot]

    # ── callers ───────────────────────────────────────────────────────────────────────────────────

    def expect(self, arrival: Arrival) -> None:
        """Have somebody call at their time."""
        loop = asyncio.get_running_loop()
        loop.call_later(max(0.0, arrival.at), self._arrive, arrival)

    def _arrive(self, arrival: Arrival) -> None:
        if self.life.dead or self.life.draining:
            return
        loop = asyncio.get_running_loop()
        visit, caller = self._visit(arrival.call, arrival.slow_s)
        task = loop.create_task(self._tell(visit, caller), name=arrival.call.id)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if arrival.leaves_after_s is not None:
            loop.call_later(arrival.leaves_after_s, self._hang_up, visit, task)
        if arrival.leaves_after_steps is not None:
            self._leaving.append((loop.steps + arrival.leaves_after_steps, task, visit))

    def _ended(self, task: asyncio.Task) -> None:
        """Whatever a story raises that is no failure is a defect of ours."""
        self._tasks.discard(task)
        defect = None if task.cancelled() else task.exception()
        if defect is not None and not self.life.dead:
            self._trace.note("the story has no defect:", task.get_name(), repr(defect))

    def _visit(self, call: Call, slow_s: float) -> tuple[Visit, SimulatedCaller]:
        table = self.standing.table
        route = next(one for one in table.routes if one.model == call.model)
        number = call.id.removeprefix("req_")
        words = self._dice.randrange(1, 7)
        gap = self._dice.choice((" {}.0.{}", "{}.0.{} ", " {}.0.{}\n"))
        text = "".join(gap.format(number, word) for word in range(words))
        now = asyncio.get_running_loop().time()
        visit = Visit(call, self.life, table, route, len(self.snapshots), now, text)
        self.visits.append(visit)
        self._trace.say("arrives", call.id, call.model, "stream" if call.stream else "whole")
        caller = SimulatedCaller(visit, self._trace, slow_s)
        if self._ledger.early:
            caller.durable = lambda: self._ledger.is_durable(call.id)
        return visit, caller

    def _hang_up(self, visit: Visit, task: asyncio.Task) -> None:
        if visit.over or self.life.dead or self.life.draining:
            return
        self._trace.say("hangs up", visit.call.id)
        visit.gone = True
        visit.left_at = self._trace.step()
        if self._dice.random() < 0.5:
            task.cancel()
        else:
            asyncio.get_running_loop().call_soon(task.cancel)

    def look(self) -> None:
        """After each step: who leaves at this one."""
        if not self._leaving:
            return
        steps = asyncio.get_running_loop().steps if asyncio._get_running_loop() else 0
        due = [one for one in self._leaving if one[0] <= steps]
        if due:
            self._leaving = [one for one in self._leaving if one[0] > steps]
            for _, task, visit in due:
                self._hang_up(visit, task)

    async def call(self, call: Call) -> SimulatedCaller:
        """One call, waited for."""
        visit, caller = self._visit(call, 0.0)
        await asyncio.get_running_loop().create_task(self._tell(visit, caller), name=call.id)
        return caller

    async def _tell(self, visit: Visit, caller: SimulatedCaller) -> None:
        VISIT.set(visit)
        visit.started = True
        cancelled = False
        try:
            await self.standing.answer(caller, visit.call)
        except Failure as failure:
            visit.failure = failure
        except asyncio.CancelledError:
            cancelled = True
        visit.over = True
        if not self.life.dead and self._trace.violation is None:
            self._judge(visit, caller, cancelled=cancelled)

    # ── endings ───────────────────────────────────────────────────────────────────────────────────

    def _judge(self, visit: Visit, caller: SimulatedCaller, *, cancelled: bool) -> None:
        """What the caller saw is what the books say."""
        demand, outcome, call = self._trace.demand, visit.outcome, visit.call.id
        demand(outcome is not None, "a call has an outcome:", call)
        said = (outcome.status, outcome.result)
        if cancelled and visit.undisturbed and outcome.result != "caller_gone":
            return  # its settlement was on its way already
        if cancelled:
            left = (499, "caller_gone")
            stopped = (200 if caller.status else 503, "shutdown")
            demand(said == (left if visit.gone else stopped), "who was cut short is entered so:", call, said)
            demand(visit.gone or self.life.draining, "nobody is cut short for nothing:", call)
        elif visit.failure is not None:
            told = visit.failure.told
            demand(caller.status is None, "a refusal comes before anything else:", call)
            demand(said == (told.status, told.code or told.type), "a refusal is entered as told:", call, said)
            self._could_have(visit)
        else:
            demand(caller.finished, "an answer has an end:", call)
            right = (200, "broken" if caller.broken else "ok")
            demand(said == right, "an answer is entered as seen:", call, said)
            shown = caller.headers["x-fallthrough-upstream"]
            demand(outcome.upstream is not None, "who answered is entered:", call, shown)

    def _could_have(self, visit: Visit) -> None:
        """Nobody goes empty away who could have had an answer of the steady upstream."""
        call, targets = visit.call, [one.upstream for one in visit.route.targets]
        if visit.gone or visit.refused or isinstance(visit.failure, Refused) or self.steady not in targets:
            return
        first = call.preferred if call.preferred in targets else targets[0]
        patient = visit.end == NEVER or (first == self.steady and visit.end - visit.began >= PATIENT_S)
        said = visit.failure.told.message
        self._trace.demand(not patient, "one healthy upstream is enough:", call.id, self.steady, said)

    async def edits(self, file: EditedFile) -> None:
        """Take edited tables into force for as long as it lives."""

        def told(taken: bool) -> None:
            self._trace.say("reload", "taken" if taken else "refused")
            right = (self.standing.table is file.table) is taken
            self._trace.demand(right, "a good file is taken, and a bad one is not")
            if taken:
                self.snapshots.append(self.standing.desk.snapshot)

        self.standing.stamp = file.look()
        await reload_table(self.standing, file.look, file.read, told, file.sleep)

    def stop(self) -> None:
        """Cut all calls short, as at the end of a drain or of the process."""
        for task in sorted(self._tasks, key=hash):
            task.cancel()

    async def over(self) -> None:
        """Wait until every call has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def at_rest(self, upstreams: SimulatedUpstreams) -> None:
        """Nobody calls: nothing is held, open, owed or left behind."""
        demand = self._trace.demand
        self._ledger.at_rest()
        demand(upstreams.open == 0, "no body is left open:", upstreams.open)
        for name, station in self._referee.stations.items():
            told = self._referee.told.get(name, "closed")
            same = told == station.state or name in self._referee.returned
            demand(same, "observers know how it stands:", name, told, station.state)
        for snapshot in self.snapshots:
            health = snapshot.health
            demand(health.outstanding == 0, "every ticket has come back:", health.outstanding)
            for name, ours in health.lasting.upstreams.items():
                free = not ours.places.used and not ours.places.waiting
                demand(free, "every place is free and nobody stands in line:", name, ours.places)
        lost = [one.call.id for one in self.visits if one.started and one.outcome is None]
        demand(not lost, "every call has an outcome:", *lost)
