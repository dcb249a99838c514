"""How the writer works: how much at a time, and how long it waits for what.

`writer.py` goes by it, and so do the backings in what they do when it is quiet. It decides nothing.
"""

from collections.abc import Callable
from time import perf_counter, sleep

from msgspec import Struct, field

from proxy.store.anchor import Cadence


class Pace(Struct, frozen=True):
    """How the writer works; the defaults are for service, tests narrow them."""

    batch: int = 256
    """Requests in one transaction at most."""
    crowd: int = 4
    """So many that are waited for in one batch are a rush: more are on their way."""
    gather_s: float = 0.004
    """How long the next batch of a rush, and what nobody waits for, waits for company: fewer flushes do."""
    queue: int = 10_000
    """Reservations that may wait; more are refused. Settlements are always accepted: there can be
    no more of them than calls under way."""
    busy_ms: int = 5000
    """SQLite: how long a foreign lock on the file is waited out."""
    retry_s: float = 0.25
    """Between tries while the database cannot be written."""
    note_s: float = 0.25
    """How long a note of progress waits for a batch to go with, before it is written without a flush."""
    idle_s: float = 1.0
    """Quiet time after which the database does what can wait, such as copying its WAL into the file."""
    wal_pages: int = 16_384
    """SQLite: the WAL begins anew above this (64 MiB)."""
    dead_s: float = 10.0
    """PostgreSQL: a replica that was silent for so long, by the server's clock, is dead to the others."""
    last_s: float = 8.0
    """For how long kept settlements are tried when closing; then they are settled as crashed."""
    heads: Cadence = field(default_factory=Cadence)
    stopwatch: Callable[[], float] = perf_counter
    """Seconds, for what commits take; the loop's own time stands still while it works."""
    pause: Callable[[float], object] = sleep
    """How the thread lets time pass, in seconds."""
