"""The duty that reads the table anew, edited or asked for, and the desk that calls are answered from.

`app.py` builds one `Standing` and hands its `answer` to the server. The file is parsed, judged and
built completely, off the loop, and only then one reference is swapped: calls under way keep the table they
began with, later ones get the new one. A file with a fault changes nothing and is told, and
neither does one that is gone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from proxy import relay
from proxy.call import Call
from proxy.config import ConfigError, Loaded
from proxy.config.regular import Stamp
from proxy.config.settings import Settings
from proxy.duties.supervisor import Sleep
from proxy.policy.health import Health
from proxy.policy.matching import public_models
from proxy.policy.terms import Terms
from proxy.ports import Caller
from proxy.relay import Desk
from proxy.snapshot import Snapshot
from proxy.table import Table

log = logging.getLogger("proxy.table")

EVERY_S = 0.5
REST_S = 0.1
"""A file must lie still for so long before it is read: an editor may be halfway through it."""
GONE_LOOKS = 4
"""So often in a row the file must be missing before that is told: whoever swaps it may take it away first."""
GONE = "the file is gone; the last good table stays"
FAULTS_MAX = 100
"""So many are remembered for who watches; the log has all."""


def fresh_snapshot(table: Table, old: Snapshot | None = None) -> Snapshot:
    """`table` with health of its own; what is known of upstreams that keep their name is carried over."""
    upstreams = table.upstreams
    streams = {name: one.streams for name, one in upstreams.items() if one.streams is not None}
    loads = {name: one.load for name, one in upstreams.items() if one.load is not None}
    health = Health({name: one.breaker for name, one in upstreams.items()}, streams, loads)
    terms = Terms.of(table)
    if old is not None:
        health.adopt(old.health)  # last, for it changes what the old table still rules by
    return Snapshot(terms, health)


class Standing:
    """What is in force now."""

    def __init__(
        self,
        desk: Desk,
        settings: Settings,
        place: Callable[[Table], Table],
        stamp: Stamp | None = None,
    ) -> None:
        self.desk = desk
        self.trouble: str | None = None
        """What is wrong with the file as it lies there now, or None; for `/readyz`."""
        self.faults: tuple[str, ...] = ()
        """All of it, for the operator."""
        self.models = frozenset(public_models(self.table))
        """Names that callers may ask for, as the table spells them."""
        self.stamp = stamp
        """What the file of the table in force looked like when it was read; None: nobody knows."""
        self.asked = False
        """Whether the file is to be read though nobody edited it: what it draws on may be another."""
        self._settings = settings
        self._place = place

    @property
    def table(self) -> Table:
        return self.desk.snapshot.table

    @property
    def breakers(self) -> dict[str, str]:
        """The state of each upstream's breaker, for whoever watches."""
        health, now = self.desk.snapshot.health, self.desk.clock.mono()
        return {name: health.state(name, now) for name in self.table.upstreams}

    @property
    def closed(self) -> dict[str, str]:
        """Where no call is sent now, and why: an upstream, or upstream/model."""
        return self.desk.snapshot.health.troubles(self.desk.clock.mono())

    def answer(self, caller: Caller, call: Call) -> Awaitable[None]:
        """The story, told with what is in force when the call comes."""
        return relay.answer(self.desk, caller, call)

    def ask(self) -> None:
        """Have the file read at the next look: somebody says that it deserves it."""
        self.asked = True

    def take(self, loaded: Loaded) -> None:
        """Put a whole new table into force."""
        snapshot = fresh_snapshot(self._place(loaded.table), self.desk.snapshot)
        self.desk, self.stamp = replace(self.desk, snapshot=snapshot), loaded.stamp
        self.models = frozenset(public_models(self.table))
        self.trouble, self.faults = None, ()
        for notice in loaded.notices:
            log.warning(notice)
        if loaded.settings != self._settings:
            log.warning("the settings have changed too; they are read at start only")
        log.info("a new table is in force", extra={"routes": len(self.table.routes)})

    def refuse(self, error: ConfigError) -> None:
        """Keep the table in force, and say why."""
        self.trouble = f"{len(error.faults)} faults in the file; the last good table stays"
        self.faults = tuple(str(fault) for fault in error.faults[:FAULTS_MAX])
        for fault in error.faults:
            log.error("the table in the file is not taken", extra={"fault": str(fault)})

    def miss(self) -> None:
        """Keep the table in force, and say that there is none to start with."""
        self.trouble = GONE
        self.faults = (GONE,)
        log.error("the table's file is gone; the last good table stays, but a start would find none")


async def reload_table(
    standing: Standing,
    look: Callable[[], Stamp | None],
    read: Callable[[], Loaded],
    told: Callable[[bool], None],
    sleep: Sleep,
) -> None:
    """Watch for ever. `read` raises `ConfigError`; `told` hears of every reading whether it was taken.

    The file is read when it was edited, or `standing` was asked. That it is gone is told too, once. An edit
    made while the program started, or while this duty was being started again, is one like any other.
    """
    seen, missed = standing.stamp, 0
    while True:
        await sleep(EVERY_S)
        stamp = look()
        if stamp is None:
            missed += 1
            if missed == GONE_LOOKS:
                seen = None  # it is read when it is back, be it the same
                standing.miss()
                told(False)
            continue
        missed = 0
        if stamp == seen and not standing.asked:
            continue
        await sleep(REST_S)
        if look() != stamp:
            continue
        seen, standing.asked = stamp, False
        try:
            loaded = await asyncio.to_thread(read)
        except ConfigError as error:
            standing.refuse(error)
            told(False)
        else:
            standing.take(loaded)
            told(True)
