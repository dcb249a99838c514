"""The words of this room: a visit, an entry of the list of endpoints, and what handlers may lean on.

Every other module here imports these; this one must never handle a request itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Protocol

from msgspec import Struct, field

from proxy.call import Call, Identity
from proxy.explain import Explanation
from proxy.ports import Caller, Clock, Dice, Keys
from proxy.server.gate import Gate
from proxy.server.request import Request
from proxy.server.shapes import Answer
from proxy.server.twins import Twins
from proxy.server.views.glance import Glance
from proxy.server.views.sight import Sight
from proxy.table import Table

NOBODY = Identity(tenant="", key_id="")


class Listener(StrEnum):
    """Whom a port is for."""

    PUBLIC = "public"
    """Callers."""
    ADMIN = "admin"
    """The operator; loopback unless told otherwise."""
    PROBES = "probes"
    """Kubelets and scrapers."""


class Limits(Struct, frozen=True):
    """How much and how long one connection may ask of us."""

    body_bytes: int = 32 * 1024 * 1024
    """Images travel inside chat bodies; vendors stop near this size too."""
    body_s: float = 60.0
    """From the first look at the body to its last byte."""
    header_s: float = 10.0
    """From connecting to the end of the first request's head."""
    idle_s: float = 75.0
    """A kept-alive connection without a request, or with half a head, is closed after this."""
    linger_s: float = 5.0
    """The rest of a refused body is thrown away for so long, so that its sender can read why."""
    stall_s: float = 60.0
    """A caller who takes not one byte for so long is cut off."""
    ping_s: float = 30.0
    """A WebSocket that was silent for so long is pinged, and given up if it stays so as long again."""
    socket_idle_s: float = 600.0
    """A WebSocket over which nothing was asked for so long is closed."""
    sockets: int = 4096
    """So many WebSockets at once; more are refused, for each keeps a file open while it asks nothing."""


class Check(Struct, frozen=True):
    """One line of `/readyz`."""

    name: str
    ask: Callable[[], str | None]
    """None: fine; otherwise what is wrong, safe to show. Must be quick and must not raise."""
    vital: bool = True
    """Whether trouble here means that no call should be sent to us."""


Person = Callable[[str, str], Awaitable[str]]
"""Tenant and id of an end person → the pseudonym."""


class Glass(Struct, frozen=True):
    """What is looked at to explain a call; nothing is changed by it."""

    explain: Callable[[Call], Awaitable[Explanation]]
    """What would become of a call now."""
    person: Person
    """The pseudonym of who is known already; of anybody else one that nobody has."""


class Views(Struct, frozen=True):
    """Where those look who watch."""

    sights: Callable[[], Awaitable[tuple[Sight, ...]]]
    """What this process and its siblings see of themselves, this one first."""
    glance: Glance
    """What the ledger says."""
    workers: int = 1
    """How many processes there are to be."""
    admin_host: str | None = None
    """The name of the admin listener as the settings have it."""
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    """Between one look and the next of somebody who watches."""


class Service(Struct, frozen=True):
    """What handlers lean on; built once by `app.py`."""

    answer: Callable[[Caller, Call], Awaitable[None]]
    """The story, bound to its desk."""
    table: Callable[[], Table]
    """The table in force now."""
    keys: Keys
    open_to_all: bool
    """`auth: none`: every request is the default tenant's."""
    clock: Clock
    dice: Dice
    gate: Gate
    twins: Twins
    """Calls with an `idempotency-key`; its bills are among the observers of the story."""
    metrics: Callable[[], Awaitable[bytes]]
    """The exposition text for scrapers."""
    glass: Glass
    views: Views
    checks: tuple[Check, ...] = ()
    origins: frozenset[str] = frozenset()
    """Of which pages in browsers may ask for a WebSocket."""
    limits: Limits = field(default_factory=Limits)


class Line(Protocol):
    """The connection that a request came over, as those who answer see it."""

    transport: asyncio.Transport
    writing_paused: bool
    """Whether its buffer is full."""
    lost: bool
    """Whether nothing reaches the caller any more."""
    overrun: bool
    """Whether more came behind an upgrade than is kept, so that some of it is missing."""

    def head(self, request: Request, status: int, headers: Mapping[str, str]) -> bytes:
        """The head of an answer, with what the connection adds to it."""
        ...

    def send(self, request: Request, answer: Answer) -> None:
        """Send a whole answer."""
        ...

    async def drained(self) -> None:
        """Wait until the buffer has room. Raises `CancelledError` if the connection is lost."""
        ...

    def hand_over(self, taker: Callable[[bytes], None]) -> None:
        """From now on whatever comes is `taker`'s, unparsed."""
        ...

    def close(self) -> None:
        """End once what was written is out."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class Visit(Struct, frozen=True):
    """One request that has passed the door."""

    request: Request
    line: Line
    id: str
    """`req_…`, on every answer as `x-request-id`."""
    echo: str | None
    """The caller's own `x-client-request-id`, if it is fit to be shown."""
    identity: Identity = NOBODY
    """Who calls; on routes without authentication `NOBODY`."""
    tail: str = ""
    """What the route's trailing `*` matched, still percent-encoded."""


Handler = Callable[[Visit], Awaitable[Answer | None]]
"""None: it has answered over the line itself."""


class Entry(Struct, frozen=True):
    """One row of the list of endpoints: what is not listed does not exist."""

    method: str
    path: str
    """Exact, or ending in `/*`, which takes at least one more character."""
    listeners: frozenset[Listener]
    authenticated: bool
    handler: Handler

    @property
    def open_ended(self) -> bool:
        """Whether it is for more than one path."""
        return self.path.endswith("/*")

    def tail(self, path: str) -> str | None:
        """What is left of `path` for the `*`, or None if this row is for another path."""
        if not self.open_ended:
            return "" if path == self.path else None
        stem = self.path.removesuffix("*")
        return path.removeprefix(stem) or None if path.startswith(stem) else None
