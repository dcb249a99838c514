"""The seams: what the story needs from the rooms that touch the world.

Implementations need not inherit, but for observers. `relay.py` knows only these; `app.py` wires the real
ones, the tests wire scripted ones. Changing what a port promises is changing the design.
"""

from collections.abc import Awaitable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from msgspec import Struct

from proxy.call import Attempt, Identity, Memory, Outcome, UpstreamRequest
from proxy.holds import Alert, Claim, Granted, Hold, Progress, Settlement, Spent
from proxy.question import Repeated
from proxy.table import Upstream


class Clock(Protocol):
    """Time, handed in."""

    def mono(self) -> float:
        """Seconds that never go back; for durations and deadlines."""
        ...

    def wall_us(self) -> int:
        """Unix time in microseconds; for rows and windows."""
        ...


class Dice(Protocol):
    """Chance, handed in, so that an outage replays from a seed."""

    def roll(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def token(self) -> str:
        """24 fresh lower-case hexadecimal digits for an id."""
        ...


class Caller(Protocol):
    """The way back to whoever called.

    Hang-up: the adapter turns `gone` true and cancels the task that runs the story, whatever it awaits.
    """

    @property
    def gone(self) -> bool:
        """Whether the caller has hung up; a half-close counts."""
        ...

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers (commit point C1). Once."""
        ...

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send body bytes; returns an awaitable only when the caller's buffer is full."""
        ...

    async def finish(self) -> None:
        """End the body cleanly."""
        ...

    def abort(self) -> None:
        """Cut the connection without a last chunk, so that nobody takes the answer for whole."""
        ...


class Sink(Protocol):
    """Where the body of an answer goes."""

    @property
    def full(self) -> bool:
        """Whether it wants no more."""
        ...

    def take(self, data: bytes) -> Awaitable[None] | None:
        """The next piece. An awaitable (no coroutine: it may be left alone) comes before any other."""
        ...


class UpstreamAnswer(Protocol):
    """An upstream's answer whose head has arrived."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers by lower-case name."""
        ...

    async def whole(self, limit: int) -> bytes:
        """The whole body. Raises `UpstreamLost` if it breaks or exceeds `limit` bytes."""
        ...

    async def start(self, limit: int) -> bytes:
        """At most `limit` bytes of the body, for judging an error. Raises `UpstreamLost`."""
        ...

    async def pour(self, sink: Sink) -> None:
        """Give the body to `sink` as it comes, until that wants no more or all has come.

        Each piece is given at once, in whichever task it arrives: a stream costs no wake-up of its story.
        What `take` raises, and `UpstreamLost` where the body breaks, is raised here.
        """
        ...


class Upstreams(Protocol):
    """The way out. One method, so that a body cannot leak."""

    def send(
        self, upstream: Upstream, request: UpstreamRequest
    ) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send `request`; leaving the context before the body ended closes the connection at once.

        Raises `UpstreamLost` if no status came. Enforces only `timeouts.connect_s`; the rest is the story's.
        """
        ...


class Ledger(Protocol):
    """Two-phase, durable, append-only. What is awaited has been flushed to disk, but for one word.

    A reservation may be granted before its row is on disk; then it says so (`Granted.durable`), and nothing
    of the answer may be shown before that is done.
    """

    async def reserve(self, hold: Hold) -> Granted | Spent | Repeated:
        """Hold every claim or none; a shadow always fits.

        Raises `Refused` 503 when it cannot write: then nothing is held, and nothing is to be settled.
        """
        ...

    async def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        """Add claims to an open reservation (a later target's own limits), all or none."""
        ...

    def commit(self, settlement: Settlement) -> Awaitable[None]:
        """Settle to what was used. Queued before it returns: nobody has to await that it is on the disk."""
        ...

    def release(self, settlement: Settlement) -> Awaitable[None]:
        """Settle a call for which nothing can have been spent: its key is free. Otherwise like `commit`."""
        ...

    def note(self, progress: Progress) -> None:
        """Remember how far an open call has got, should this process die. Waits for nothing."""
        ...


class Counters(Protocol):
    """What stands on the counters of limits, for who only looks."""

    async def look(self, claims: Iterable[Claim]) -> Mapping[tuple[str, int], tuple[int, int]]:
        """Used and held of each counter that `claims` name and that was ever held in, by `Claim.counter`.

        Raises `Refused` 503 when it cannot be read.
        """
        ...


class Act(Struct, frozen=True):
    """Something that a person does to the ledger, other than call."""

    id: str
    """Names its audit row: an act that is asked for twice is written once."""
    at_us: int
    who: str
    """`os:NAME` of whoever asked, or the duty that did."""


class Letter(Struct, frozen=True):
    """An act that another process asks for."""

    act: Act
    kind: str
    detail: Mapping[str, Any]
    """What the act is about; JSON."""


class Reset(Struct, frozen=True):
    """A counter that was set back to nothing."""

    scope: str
    window: int
    used: int
    """What it stood at; what calls under way hold stays held."""


class Declined(Exception):
    """An act that cannot be done, in words for whoever asked."""


class Steward(Protocol):
    """What people ask of a ledger beside its calls. Each act leaves one audit row: who did it, and when."""

    async def erased(self, act: Act, tenant: str) -> None:
        """Note that a person of `tenant` was erased; the row does not say who."""
        ...

    async def reset(self, act: Act, scope: str) -> tuple[Reset, ...]:
        """Set a counter back to nothing, in every window of it that is not over; its marks are told anew.

        Raises `Declined` where there is no such counter.
        """
        ...

    async def prune(self, act: Act, before_us: int) -> int:
        """Take away rows older than a moment, as far as the rest can still be proved; how many. Sums stay.

        Raises `Declined` where a row is not what was written: nothing is taken then.
        """
        ...


class Grant(Struct, frozen=True):
    """What a key allows."""

    key_id: str
    tenant: str


class Keys(Protocol):
    """Who may call."""

    def find(self, digest: bytes) -> Grant | None:
        """The grant behind the SHA-256 digest of a presented key, or None if unknown or revoked."""
        ...

    async def pseudonym(self, tenant: str, user: str) -> str:
        """The pseudonym that stands for an end person in the ledger, from a key of that person's own.

        Durable when it returns, so that no row names a person whose key was lost. Raises `Refused` 503.
        """
        ...

    async def in_session(self, tenant: str, user: str | None, session: str) -> tuple[str | None, str]:
        """The pseudonyms of an end person, if there is one, and of a session of theirs, or of the tenant's.

        A person's session is made from the same key, so that it means nobody either once that is destroyed.
        """
        ...

    def forget(self, pseudonym: str) -> None:
        """Drop from memory whose key was destroyed: the next call of the same id is a new person's."""
        ...


class Origin(Struct, frozen=True):
    """Where state came from; it is understood nowhere else."""

    dialect: str
    model: str
    """The model's name at the upstream."""


class Recall(Protocol):
    """Opaque state between two turns of a conversation, kept for a while and never on disk."""

    def keep(self, identity: Identity, origin: Origin, memory: Memory) -> None:
        """Remember `memory` until its calls come back, it is too old, or there is no room."""
        ...

    def find(self, identity: Identity, origin: Origin, calls: Iterable[str]) -> Mapping[str, bytes]:
        """What is known of these calls of the same tenant and person at the same origin, by call id."""
        ...

    def forget(self, tenant: str, user: str) -> None:
        """Forget everything kept for an end person, known by pseudonym, and keep nothing more for them."""
        ...


class Observer:
    """Told after the fact; must be quick, must not raise.

    What one does not override it does not listen to, and is never told (`audience.py`).
    """

    def settled(self, outcome: Outcome) -> None:
        """A call has ended."""

    def attempted(self, attempt: Attempt) -> None:
        """An attempt has ended."""

    def reserved(self, answer: Granted | Spent) -> None:
        """A reservation was asked for, or more of one: what its counters hold, or which of them refused."""

    def breaker(self, upstream: str, state: str) -> None:
        """A breaker changed: `closed`, `open` or `half_open`."""

    def alerted(self, alert: Alert) -> None:
        """A limit crossed a mark."""
