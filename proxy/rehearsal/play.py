"""One rehearsal, from a table and a script to what came of it.

The second composition root beside `app.py`: the same story, plan, breakers, limits and wire, on a clock of
its own, over simulated upstreams, with a ledger in memory. Nothing leaves the process.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from proxy.audience import Audience
from proxy.duties.reload import fresh_snapshot
from proxy.errors import Failure
from proxy.rehearsal.callers import LEFT, Arrival, Listener, arrivals
from proxy.rehearsal.figures import Figures, figures, troubles
from proxy.rehearsal.record import Happened, Record
from proxy.rehearsal.script import Script
from proxy.rehearsal.stage import Stage
from proxy.rehearsal.time import FreeClock, FreeLoop, Hour, SeededDice
from proxy.rehearsal.verdict import Check, verdict
from proxy.relay import Desk, answer
from proxy.store.passing import open_passing
from proxy.store.recall import MemoryRecall
from proxy.table import Table

LOOK_S = 1.0
"""How often what nobody tells is looked at, and the progress told."""

ENDLESS_S = 6 * 3600.0
"""After the last call came: a call that is not over by then never is, and the loop would go on for ever."""
ORDER = ("act", "breaker", "trouble", "limit", "answers", "callers")
"""Of what happened in one moment, causes first."""

Watch = Callable[[float, Record], None]
"""Told the hour and the record, once a second of the rehearsal's time."""


class Rehearsal(Struct, frozen=True):
    """What came of it."""

    timeline: tuple[Happened, ...]
    figures: Figures
    checks: tuple[Check, ...]
    lasted_s: float
    """Until the last call was over."""
    breakers: dict[str, dict[str, int]]
    """How often each upstream's came to each state."""
    refusals: dict[str, int]
    """How often each limit refused."""

    @property
    def met(self) -> bool:
        """Whether all that was expected is so."""
        return all(check.met for check in self.checks)


def rehearse(table: Table, script: Script, watch: Watch) -> Rehearsal:
    """Play `script` against `table`, on free time."""
    with asyncio.Runner(loop_factory=FreeLoop) as runner:
        return runner.run(_alone(table, script, watch))


def without_secrets(table: Table) -> Table:
    """The table with nothing in it that is worth keeping secret."""
    upstreams = {name: replace(one, api_key=None, headers=()) for name, one in table.upstreams.items()}
    return replace(table, upstreams=upstreams, webhook=None)


async def _alone(table: Table, script: Script, watch: Watch) -> Rehearsal:
    """With a desk of its own, at which nobody else calls."""
    performance, clock = Performance(script, watch), FreeClock()
    with open_passing(clock, performance.record.alerted) as ledger:
        desk = Desk(
            fresh_snapshot(without_secrets(table)),
            performance.stage,
            ledger,
            MemoryRecall(clock),
            clock,
            SeededDice(f"{script.load.seed}/proxy"),
            Audience.of(performance.record),
        )
        return await performance.play(lambda: desk)


class Performance:
    """A rehearsal under way, at any desk whose way out is its `stage` and which its `record` observes."""

    def __init__(self, script: Script, watch: Watch) -> None:
        """Begins as it is made; needs a running loop."""
        self._script = script
        self._watch = watch
        self._hour = Hour()
        self.record = Record(self._hour)
        self.stage = Stage(script, self._hour)

    async def play(self, desk: Callable[[], Desk]) -> Rehearsal:
        """Let everybody call, wait for the last of them, and say what came of it."""
        looking = asyncio.get_running_loop().create_task(self._look(desk), name="look")
        try:
            async with asyncio.timeout(self._script.load.lasts + ENDLESS_S):
                await self._call(desk)
        finally:
            looking.cancel()
            await asyncio.wait([looking])
        return self._came_to(self._hour())

    async def _call(self, desk: Callable[[], Desk]) -> None:
        dice = SeededDice(f"{self._script.load.seed}/callers")
        async with asyncio.TaskGroup() as group:
            for arrival in arrivals(self._script, desk().clock, dice):
                await asyncio.sleep(arrival.at - self._hour())
                group.create_task(self._visit(desk(), arrival), name=arrival.call.id)

    async def _visit(self, desk: Desk, arrival: Arrival) -> None:
        """One call, until its caller has an answer, an error, or enough."""
        listener = Listener(self._script.load.reads, self._hour)
        self.record.expect(arrival)
        task = asyncio.current_task()

        def leave() -> None:
            if listener.begun is None and task is not None:
                listener.gone = True
                task.cancel()

        patience_s = self._script.load.patience
        handle = None
        if patience_s is not None:
            handle = asyncio.get_running_loop().call_later(patience_s, leave)
        try:
            await answer(desk, listener, arrival.call)
            result = listener.verdict(arrival)
        except Failure as failure:
            result = failure.told.code or failure.told.type
        except asyncio.CancelledError:
            if not listener.gone:
                raise
            result = LEFT
        finally:
            if handle is not None:
                handle.cancel()
        self.record.visited(arrival, listener, result)

    async def _look(self, desk: Callable[[], Desk]) -> None:
        while True:
            self.record.look(desk().snapshot.health, desk().clock.mono())
            self._watch(self._hour(), self.record)
            await asyncio.sleep(LOOK_S)

    def _came_to(self, ended: float) -> Rehearsal:
        record, script = self.record, self._script
        for act in script.acts:
            record.note("act", f"begins: {act.told}", act.at)
            if act.lasts is not None and act.at + act.lasts <= ended:
                record.note("act", f"ends: {act.told}", act.at + act.lasts)
        for first, last, number in troubles(record.visits):
            span = f"these {last - first + 1} seconds" if last > first else "this second"
            record.note("callers", f"{number} calls of {span} are not answered whole", float(first))
        came = figures(record.visits)
        return Rehearsal(
            timeline=tuple(sorted(record.happened, key=lambda line: (line.at, ORDER.index(line.kind)))),
            figures=came,
            checks=verdict(script.expect, came),
            lasted_s=ended,
            breakers={name: dict(states) for name, states in sorted(record.breakers.items())},
            refusals=dict(sorted(record.refusals.items())),
        )
