"""The words of this room: a visit, an entry of the route table, and what handlers may lean on.

Every other module here imports these; this one must never handle a request itself.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

from proxy.call import Call, Identity
from proxy.ports import Caller, Clock, Dice, Keys
from proxy.server.gate import Gate
from proxy.table import Table


class Listener(StrEnum):
    """Whom a port is for."""

    PUBLIC = "public"
    """Callers."""
    ADMIN = "admin"
    """The operator; loopback unless told otherwise."""
    PROBES = "probes"
    """Kubelets and scrapers."""


@dataclass(frozen=True, slots=True)
class Limits:
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


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `/readyz`."""

    name: str
    ask: Callable[[], str | None]
    """None: fine; otherwise what is wrong, safe to show. Must be quick and must not raise."""
    vital: bool = True
    """Whether trouble here means that no call should be sent to us."""


@dataclass(frozen=True, slots=True)
class Service:
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
    metrics: Callable[[], bytes]
    """The exposition text for scrapers."""
    checks: tuple[Check, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that has passed the door."""

    request: web.BaseRequest
    id: str
    """`req_…`, on every answer as `x-request-id`."""
    echo: str | None
    """The caller's own `x-client-request-id`, if it is fit to be shown."""
    identity: Identity
    """Who calls; on routes without authentication `NOBODY`."""
    tail: str = ""
    """What the route's trailing `*` matched, still percent-encoded."""


Handler = Callable[[Visit], Awaitable[web.StreamResponse]]

NOBODY = Identity(tenant="", key_id="")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the route table: what is not listed does not exist."""

    method: str
    path: str
    """Exact, or ending in `/*`, which takes at least one more character."""
    listeners: frozenset[Listener]
    authenticated: bool
    handler: Handler

    def tail(self, path: str) -> str | None:
        """What is left of `path` for the `*`, or None if this row is for another path."""
        if not self.path.endswith("/*"):
            return "" if path == self.path else None
        stem = self.path.removesuffix("*")
        return path.removeprefix(stem) or None if path.startswith(stem) else None
