"""A rehearsal that is watched live: the table is served as by `serve`, its upstreams and callers are played.

`rehearse.py --live` runs it. Time is real, ledger and keys lie in a folder that goes with the process, and
nobody is called. When all calls of the script are over the report is printed, and serving goes on until it
is told to stop, so that whoever watches can go on looking, or call themselves.
"""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from msgspec.structs import replace

from proxy.app import Guests, Orders, serve
from proxy.config import Loaded
from proxy.config.settings import Settings
from proxy.ports import Upstreams
from proxy.rehearsal.play import Performance, Rehearsal, without_secrets
from proxy.rehearsal.script import Script
from proxy.relay import Desk
from proxy.upstream.reaching import Reacher

LOUD = "REHEARSAL: no upstream is called; every answer here is made up, and goes when this ends"


def watch_live(loaded: Loaded, script: Script, told: Callable[[Rehearsal], None]) -> bool:
    """Serve until told to stop; whether it was played to its end, and all that was expected is so.

    Raises what `serve` does.
    """
    with tempfile.TemporaryDirectory(prefix="fallthrough-") as folder:
        return uvloop.run(_serve(_unbound(loaded, Path(folder)), script, told))


async def _serve(loaded: Loaded, script: Script, told: Callable[[Rehearsal], None]) -> bool:
    performance = Performance(script, lambda *_: None)
    met: list[bool] = []

    @asynccontextmanager
    async def way_out(_: Reacher) -> AsyncIterator[Upstreams]:
        yield performance.stage

    async def come(desk: Callable[[], Desk]) -> None:
        came = await performance.play(desk)
        met.append(came.met)
        told(came)

    await serve(Orders(loaded, way_out=way_out, guests=Guests(performance.record, come)))
    return met == [True]


def _unbound(loaded: Loaded, folder: Path) -> Loaded:
    """The configuration with what it writes in a folder of its own; on this machine anybody may call."""
    settings = loaded.settings
    away: Settings = replace(
        settings,
        ledger=folder / "ledger.db",
        simulator="off",
        auth="none" if settings.listen.private else settings.auth,
    )
    return replace(loaded, settings=away, table=without_secrets(loaded.table), notices=(LOUD,))
