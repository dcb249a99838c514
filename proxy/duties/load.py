"""The duty that asks upstreams how busy they are, where they can tell.

`app.py` runs it. What an upstream says goes into the health of the snapshot in force, which passes it over
while too many wait there. One that does not answer, or makes no sense, is believed to be well, and asked
ever less often until it does. When that begins or ends, and when an upstream begins or ceases to be passed
over, one line of the log says so. No call waits for any of this.
"""

import asyncio
import logging
from collections.abc import Callable

from msgspec import Struct, field

from proxy.call import Load, UpstreamLost
from proxy.duties.supervisor import Sleep
from proxy.policy.health import Health
from proxy.ports import Clock, Upstreams
from proxy.snapshot import Snapshot
from proxy.table import LoadRules, Upstream
from proxy.wire.load import GAUGES, Gauges, asking, lines_of, load_of, samples_of

log = logging.getLogger("proxy.load")

LOOK_S = 0.5
"""An edited table is heeded after so long at most."""
READ_S = 1.0
"""Whoever needs longer to say how busy it is has not said it."""
TEXT_MAX = 4 * 1024 * 1024
DOUBLINGS = 5
"""How often the time between two tries is doubled while none succeeds."""


class _Untold(Exception):
    """An upstream did not say how busy it is; the message says why, in words of ours."""


async def watch_load(
    snapshot: Callable[[], Snapshot],
    upstreams: Upstreams,
    counted: Callable[[str, bool], None],
    clock: Clock,
    sleep: Sleep,
) -> None:
    """Ask for ever. `counted` hears of every try, by upstream and whether it succeeded."""
    watch = _Watch(upstreams, counted, clock)
    while True:
        await sleep(await watch.look(snapshot()))


class _Watch(Struct):
    """What is remembered from one look to the next."""

    upstreams: Upstreams
    counted: Callable[[str, bool], None]
    clock: Clock
    due: dict[str, float] = field(default_factory=dict)
    """When each is to be asked."""
    missed: dict[str, int] = field(default_factory=dict)
    """How many tries in a row have failed."""
    over: set[str] = field(default_factory=set)
    """Who is passed over, as far as the log knows."""

    async def look(self, snapshot: Snapshot) -> float:
        """Ask whoever is due, all at once; how long to sleep until the next look."""
        now = self.clock.mono()
        upstreams = snapshot.table.upstreams.values()
        asked = {one.name: (one, one.load) for one in upstreams if one.load is not None}
        self.due = {name: self.due.get(name, now) for name in asked}
        self.missed = {name: self.missed.get(name, 0) for name in asked}
        async with asyncio.TaskGroup() as group:
            for name in [name for name, due in self.due.items() if due <= now]:
                group.create_task(self._ask(*asked[name], snapshot.health), name=f"load of {name}")
        now = self.clock.mono()
        self._tell(snapshot.health.loads(now))
        return max(0.0, min([LOOK_S, *(due - now for due in self.due.values())]))

    async def _ask(self, upstream: Upstream, rules: LoadRules, health: Health) -> None:
        name, began = upstream.name, self.clock.mono()
        try:
            load = await self._read(upstream, GAUGES[upstream.dialect])
        except _Untold as untold:
            self.missed[name] += 1
            if self.missed[name] == 1:
                log.warning(
                    "an upstream does not say how busy it is, and is believed to be well",
                    extra={"upstream": name, "why": str(untold)},
                )
        else:
            if self.missed[name]:
                log.info("an upstream says again how busy it is", extra={"upstream": name})
            self.missed[name] = 0
            health.heard(name, load, self.clock.mono())
        self.due[name] = began + rules.every_s * 2.0 ** min(max(0, self.missed[name] - 1), DOUBLINGS)
        self.counted(name, not self.missed[name])

    async def _read(self, upstream: Upstream, gauges: Gauges) -> Load:
        """What it says. Raises `_Untold`."""
        place, request = asking(upstream, gauges)
        try:
            async with asyncio.timeout(READ_S), self.upstreams.send(place, request) as answer:
                if answer.status != 200:
                    raise _Untold(f"status {answer.status}")
                text = await answer.whole(TEXT_MAX)
        except UpstreamLost as lost:
            raise _Untold(lost.signal.kind.value) from None
        except TimeoutError:
            raise _Untold("too slow") from None
        try:
            load = load_of(gauges, samples_of(lines_of(gauges, text)))
        except ValueError:
            raise _Untold("garbage") from None
        if load is None:
            raise _Untold("it has no such figures")
        return load

    def _tell(self, loads: dict[str, tuple[Load, bool]]) -> None:
        """Note in the log who begins or ceases to be passed over."""
        over = {name for name, (_, too_much) in loads.items() if too_much}
        for name in sorted(over - self.over):
            told = {"upstream": name, "waiting": loads[name][0].waiting, "running": loads[name][0].running}
            log.warning("too many wait at an upstream, and it is passed over", extra=told)
        for name in sorted(self.over - over):
            log.info("an upstream is passed over no more", extra={"upstream": name})
        self.over = over
