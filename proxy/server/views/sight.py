"""What one process sees of itself, as a record that its siblings can read.

`app.py` builds one `Watched`; whichever worker is asked for a view takes its own `Sight` and those of the
others (`server/siblings.py`) and shows them as one. Everything in it is names, numbers and states.
"""

from collections.abc import Callable, Mapping
from typing import Self

from msgspec import Struct, json

from proxy.ports import Clock
from proxy.recent import Recent, Seen
from proxy.server.gate import Gate
from proxy.snapshot import Snapshot


class Standing(Struct, frozen=True):
    """How an upstream stands with one process."""

    breaker: str
    """`closed`, `open` or `half_open`."""
    shut_until_us: int | None
    """Unix microseconds; None: a call could be sent to it now."""
    why: str | None
    """What shut it: `open`, `money` or `auth`."""
    targets: Mapping[str, str]
    """Those of its targets that are passed over for now, with the reason."""


class Sight(Struct, frozen=True):
    """One process, as it is now."""

    worker: int
    in_flight: int
    draining: bool
    upstreams: Mapping[str, Standing]
    faults: tuple[str, ...]
    """Of the edited file that was not taken, if it still lies there."""
    seen: Seen

    def dump(self) -> bytes:
        return json.encode(self)

    @classmethod
    def load(cls, text: bytes) -> Self:
        return json.decode(text, type=cls)


class Watched(Struct, frozen=True):
    """Where a process looks to see itself."""

    worker: int
    """From 1."""
    snapshot: Callable[[], Snapshot]
    recent: Recent
    gate: Gate
    faults: Callable[[], tuple[str, ...]]
    clock: Clock

    def sight(self) -> Sight:
        """Now."""
        return Sight(
            self.worker,
            self.gate.live,
            self.gate.draining,
            self._upstreams(),
            self.faults(),
            self.recent.seen(),
        )

    async def alone(self) -> tuple[Sight, ...]:
        """All there is to see where there is one process."""
        return (self.sight(),)

    def _upstreams(self) -> Mapping[str, Standing]:
        snapshot, now = self.snapshot(), self.clock.mono()
        health, ahead_us = snapshot.health, self.clock.wall_us() - now * 1e6
        troubles = health.troubles(now)
        found = {}
        for name in snapshot.table.upstreams:
            until = health.shut_until(name, now)
            found[name] = Standing(
                health.state(name, now),
                None if until is None else round(until * 1e6 + ahead_us),
                troubles.get(name),
                {target: why for target, why in troubles.items() if target.startswith(f"{name}/")},
            )
        return found
