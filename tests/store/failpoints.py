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
from proxy.store.sqlite import backing, database
from proxy.store.sqlite.backing import SqliteBacking
from proxy.store.sqlite.tables import SqliteTables
from proxy.store.writer import Writer

Step = tuple[Any, str]

STEPS: Mapping[str, Step] = {
    "create the file": (database, "_create"),
    "migrate": (database, "_migrate"),
    "open": (backing, "open_file"),
    "begin a life": (backing, "_begin"),
    "compare with the head": (Anchor, "compare"),
    "settle what was left": (Journal, "expire"),
    "begin": (SqliteTables, "begin"),
    "take the claims": (Journal, "_take"),
    "append a row": (SqliteTables, "append"),
    "reserve": (Journal, "reserve"),
    "resolve": (Journal, "_resolve"),
    "settle": (Journal, "settle"),
    "give back": (SqliteTables, "give"),
    "write a batch": (Writer, "_write"),
    "tell who waits": (Writer, "_succeed"),
    "checkpoint": (SqliteBacking, "_checkpoint"),
    "tell a head": (Anchor, "tell"),
    "write a head": (heads, "append"),
    "advance the roots": (Anchor, "_advance"),
    "end": (Writer, "_end"),
}
"""Name → where the step is."""

NAMES = tuple(f"{moment} {step}" for step in STEPS for moment in ("before", "after"))


def arm(name: str, nth: int) -> None:
    """Die, as by `kill -9`, at the named place when it is reached for the `nth` time."""
    moment, _, step = name.partition(" ")
    owner, attribute = STEPS[step]
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
