"""Places where a kill is likely to hurt, by name: each before or after one step of the ledger's work.

A process that is to die (`crash_writer`) calls `arm`; the test runs one for every name. A step that is
renamed or goes away makes `arm` fail, so that no name here can rot.
"""

import functools
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from proxy.store import heads
from proxy.store.anchor import Anchor
from proxy.store.journal import Journal
from proxy.store.postgres import backing as postgres_backing
from proxy.store.postgres.backing import PostgresBacking
from proxy.store.postgres.tables import PostgresTables
from proxy.store.sqlite import backing, database
from proxy.store.sqlite.backing import SqliteBacking
from proxy.store.sqlite.tables import SqliteTables
from proxy.store.writer import Writer

Step = tuple[Any, str]

ANY: Mapping[str, Step] = {
    "compare with the head": (Anchor, "compare"),
    "settle what was left": (Journal, "expire"),
    "take the claims": (Journal, "_take"),
    "reserve": (Journal, "reserve"),
    "resolve": (Journal, "_resolve"),
    "settle": (Journal, "settle"),
    "write a batch": (Writer, "_write"),
    "tell who waits": (Writer, "_succeed"),
    "tell a head": (Anchor, "tell"),
    "advance the roots": (Anchor, "_advance"),
    "end": (Writer, "_end"),
}
"""What happens whatever database is beneath."""

SQLITE: Mapping[str, Step] = {
    "create the file": (database, "_create"),
    "migrate": (database, "_migrate"),
    "open": (backing, "open_file"),
    "begin a life": (backing, "_begin"),
    "begin": (SqliteTables, "begin"),
    "append a row": (SqliteTables, "append"),
    "give back": (SqliteTables, "give"),
    "checkpoint": (SqliteBacking, "_checkpoint"),
    "write a head": (heads, "append"),
}

POSTGRES: Mapping[str, Step] = {
    "make the tables": (postgres_backing, "prepare"),
    "enter": (PostgresBacking, "_enter"),
    "bury the dead": (PostgresBacking, "_bury"),
    "stand in line": (PostgresTables, "lock"),
    "read the batch": (PostgresTables, "begin"),
    "append a row": (PostgresTables, "append"),
    "give back": (PostgresTables, "give"),
    "write the batch": (PostgresTables, "flush"),
    "commit": (PostgresBacking, "commit"),
    "write a head": (PostgresBacking, "_keep"),
    "leave": (PostgresBacking, "close"),
}

STEPS: Mapping[str, Mapping[str, Step]] = {"sqlite": {**ANY, **SQLITE}, "postgres": {**ANY, **POSTGRES}}
"""Store → name → where the step is."""


def names(store: str) -> tuple[str, ...]:
    """All places of one store."""
    return tuple(f"{moment} {step}" for step in STEPS[store] for moment in ("before", "after"))


def arm(store: str, name: str, nth: int) -> None:
    """Die, as by `kill -9`, at the named place when it is reached for the `nth` time."""
    moment, _, step = name.partition(" ")
    owner, attribute = STEPS[store][step]
    done: Callable[..., Any] = getattr(owner, attribute)
    seen: list[None] = []

    def die_if_due() -> None:
        seen.append(None)
        if len(seen) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(done)
    def deadly(*arguments: Any, **options: Any) -> Any:
        if moment == "before":
            die_if_due()
        result = done(*arguments, **options)
        if moment == "after":
            die_if_due()
        return result

    setattr(owner, attribute, deadly)
