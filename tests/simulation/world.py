"""One world, played from its seed to its end: lives of the process one after another.

A life begins with a table, meets its callers, takes edited tables into force and refuses broken ones. It
ends in one of three ways: everybody is served and all is healed, it is told to stop, or it crashes. The
ledger and the upstreams are there before it and after it.

    play(seed)      the trace, or a `Violation`
"""

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from proxy.duties import reload
from tests.kit.virtual import Deadlock
from tests.simulation import scenario
from tests.simulation.health import WatchedHealth
from tests.simulation.ledger import ModelLedger
from tests.simulation.life import EditedFile, House
from tests.simulation.loop import SimulationLoop
from tests.simulation.referee import Referee
from tests.simulation.trace import Trace, Violation
from tests.simulation.upstreams import SimulatedUpstreams
from tests.simulation.visits import Life
from tests.simulation.weather import Weather

ENDS = ("rest", "rest", "rest", "stop", "crash", "crash")
STEPS_MAX = 200_000
MENDED_S = 1000.0
"""After so long nothing that was refused is still shut."""


class World:
    """Everything that one seed decides."""

    def __init__(self, seed: int, trace: Trace, loop: SimulationLoop) -> None:
        self.trace = trace
        self.dice = random.Random(seed)
        self.steady = scenario.steady_of(self.dice)
        self.weather = {
            name: Weather(random.Random(f"{seed}/{name}"), name == self.steady) for name in scenario.NAMES
        }
        self.ledger = ModelLedger(trace, random.Random(f"{seed}/ledger"), early=self.dice.random() < 0.5)
        self._loop = loop
        self._seed = seed

    async def play(self) -> None:
        """Life after life."""
        self._main = asyncio.current_task()
        lives = self.dice.choice((1, 1, 2, 3))
        for number in range(lives):
            end = self.dice.choice(ENDS if number < lives - 1 else ENDS[:4])
            await self._live(Life(number), end)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        self.trace.demand(not left, "no task is left behind:", *sorted(task.get_name() for task in left))

    async def _live(self, life: Life, end: str) -> None:
        dice, trace = self.dice, self.trace
        length_s = dice.choice((5.0, 30.0, 120.0))
        trace.say("life", life.number, "that ends in", end)
        referee = Referee(trace, self.ledger.open)
        upstreams = SimulatedUpstreams(self.weather, referee, random.Random(dice.randrange(2**32)))
        with mock.patch.object(reload, "Health", WatchedHealth.maker(life, referee)):
            table = scenario.draw_table(dice, self.steady)
            house = House(life, referee, table, upstreams, self.ledger)
            house.steady = self.steady
            coming = scenario.arrivals(dice, life.number, length_s)
            for arrival in coming:
                house.expect(arrival)
            file = EditedFile(self._edits(length_s))
            watching = self._loop.create_task(house.edits(file), name="the duty of the table")
            self._loop.look = lambda: self._look(referee, house)
            cut_s = dice.choice(coming).at + dice.choice((0.0, 0.004, 0.02, 0.2, 1.2, 6.0))
            await asyncio.sleep(length_s + 5.0 if end == "rest" else cut_s)
            if end == "rest":
                await house.over()
                await self._heal(house)
            elif end == "stop":
                life.draining = True
                house.stop()
            else:
                life.dead = True
                self.ledger.crash()
                house.stop()
            watching.cancel()
            await asyncio.wait([watching])
            await house.over()
            trace.demand(upstreams.open == 0, "no body is left open:", upstreams.open)
            if not life.dead:
                house.at_rest(upstreams)
            life.dead = True

    def _edits(self, length_s: float) -> list:
        """When the file is edited, and into what; None: something that is no table."""
        moments = sorted(self.dice.uniform(0.0, length_s) for _ in range(self.dice.choice((0, 0, 1, 2, 4))))
        now = self._loop.time()
        return [
            (now + at, None if self.dice.random() < 0.2 else scenario.draw_table(self.dice, self.steady))
            for at in moments
        ]

    async def _heal(self, house: House) -> None:
        """All is well again: after a while each upstream answers whoever asks it first."""
        self.trace.say("all is healed")
        for one in self.weather.values():
            one.healed = True
        await asyncio.sleep(MENDED_S)
        limited = {limit.upstream for limit in house.standing.table.limits}
        for name in house.standing.table.upstreams:
            call = scenario.looking(scenario.draw_call(self.dice, f"{house.life.number}.look"), name)
            caller = await house.call(call)
            refused = caller.visit.refused or caller.visit.tries == [] or name in limited
            got = caller.headers.get("x-fallthrough-upstream")
            self.trace.demand(refused or got == name, "what is healed is asked again:", name, got)
        for one in self.weather.values():
            one.healed = False

    def _look(self, referee: Referee, house: House) -> None:
        if self.trace.violation is not None:  # of some task's, which may have swallowed it
            self._loop.look = _nothing
            self._main.cancel()
            return
        if self._loop.steps > STEPS_MAX:
            self.trace.note("a world comes to an end")
        referee.look(house.standing.desk.snapshot.health.lasting.upstreams)
        house.look()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines of a thousand reloads."""
    log = logging.getLogger("proxy")
    before = log.disabled
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        log.disabled = before


def play(seed: int, plant: str = "") -> Trace:
    """Play the world of `seed` to its end. Raises `Violation`; `plant` is only named in it."""
    trace = Trace(seed, plant)
    loop = SimulationLoop(seed)
    trace.step, trace.now = (lambda: loop.steps), loop.time
    with _quiet(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            runner.run(World(seed, trace, loop).play())
        except Deadlock:
            trace.violation = Violation(trace, "somebody is always woken: nothing can ever run again")
        except (Violation, asyncio.CancelledError):
            if trace.violation is None:
                raise
        finally:
            loop.look = _nothing
    if trace.violation is not None:
        raise trace.violation
    return trace


def _nothing() -> None:
    """Nobody looks any more."""
