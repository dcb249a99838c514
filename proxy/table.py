"""The table: upstreams, routes and limits in force, immutable and replaced whole.

`proxy/config` builds it from YAML and the environment; everything else only reads it. It knows no
file, no clock and no live state: breakers and load live in `snapshot.py`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import force_setattr

from proxy.abilities import Capabilities, Media, ModelFacts
from proxy.usage import Price

DialectName = Literal["openai", "vllm", "anthropic", "gemini"]

ReasoningField = Literal["reasoning_content", "reasoning", "none"]


class Secret:
    """A credential that no `repr`, log line or traceback can show by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; only for the header that carries it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))


class Timeouts(Struct, frozen=True):
    """How long each phase of an attempt may take, in seconds."""

    connect_s: float = 5.0
    """DNS, TCP and TLS together."""
    first_token_s: float = 60.0
    """From the start of the attempt to the first content of a stream; pings and role deltas do not count."""
    idle_s: float = 60.0
    """Between two events of a stream after its first content; keep-alive comments do not count."""
    whole_s: float = 300.0
    """The whole of an answer that is not streamed, whose first token comes with its last."""
    total_s: float = 600.0
    """The whole attempt, streamed or not. A slow caller is waited for beside that, up to as long again."""


class BreakerRules(Struct, frozen=True):
    """When an upstream is given up for a while."""

    failures: int = 5
    """Consecutive failures that open the breaker."""
    open_s: float = 60.0
    """First open time; it doubles while probes fail, up to `open_max_s`."""
    open_max_s: float = 300.0


class LoadRules(Struct, frozen=True):
    """How often an upstream is asked how busy it is, and what is too much."""

    every_s: float = 2.0
    waiting: int = 16
    """From so many waiting requests on it is passed over; the last that is left is not."""


class Upstream(Struct, frozen=True):
    """A base URL, its dialect and its manners."""

    name: str
    dialect: DialectName
    base_url: str
    """Without a trailing slash; the dialect appends its path, such as `/chat/completions`."""
    api_key: Secret | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Fixed headers sent with every request, such as `OpenAI-Organization`; not shown, some hold keys."""
    tags: frozenset[str] = frozenset()
    streams: int | None = None
    """At most so many attempts at once; None: as many as come."""
    load: LoadRules | None = None
    """None: it is not asked how busy it is."""
    timeouts: Timeouts = Timeouts()
    breaker: BreakerRules = BreakerRules()
    capabilities: Capabilities = Capabilities()
    simulated: bool = False
    """Served by the built-in simulator (`simulator: auto`); its base URL is known only at start."""

    def __repr__(self) -> str:
        return f"Upstream({self.name!r}, {self.dialect!r}, {self.base_url!r})"


class Target(Struct, frozen=True):
    """An upstream plus the model's name there."""

    upstream: str
    model: str
    price: Price | None = None
    """None: unknown; such a target counts as free in `usage`, and is a fault under a USD limit."""
    facts: ModelFacts = ModelFacts()
    """What the model takes and can do."""
    packaged_price: bool = False
    """Whether `price` is from the packaged tables and not the file's own."""
    media: Media = Media()
    """What it counts pictures and documents as, at most; `facts.context` is believed before it."""

    def __str__(self) -> str:
        return f"{self.upstream}/{self.model}"

    def __eq__(self, other: object) -> bool:
        """The same model at the same upstream and price, whatever is known of it."""
        return isinstance(other, Target) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str, Price | None]:
        return self.upstream, self.model, self.price


class OnMidstream(StrEnum):
    """What becomes of a stream that breaks after its first content."""

    ERROR = "error"
    """The caller is told in an error event."""
    CONTINUE = "continue"
    """A target that can goes on from where it broke."""
    RESTART = "restart"
    """A target answers anew; if it begins with what was sent already, the rest goes out."""


class Route(Struct, frozen=True):
    """A match on the call and the targets that may answer it, in order."""

    model: str
    """Exact public name, or a glob with `*` and `?`."""
    targets: tuple[Target, ...]
    """Only targets whose upstream is on."""
    attempts: int = 2
    """Tries at one target, the first included."""
    in_place_s: float | None = None
    """A target that failed is asked again before the next one if that takes no longer wait; None: only where
    it asks for a short one itself."""
    max_output_tokens: int = 4096
    """Held against limits, and sent upstream, when the caller names no maximum and a limit counts it."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Body members filled in where the caller is silent."""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Fields of `Timeouts` that this route narrows, by field name."""
    on_midstream: OnMidstream = OnMidstream.ERROR
    hedge_s: float | None = None
    """When a stream has no content after so long, a second target is asked beside the first; None: never."""
    drop_params: bool = False
    """Leave out, and say so, what a target cannot do, instead of passing it over."""
    reasoning_field: ReasoningField = "reasoning_content"
    """The member in which callers get reasoning; `none`: they do not, though an answer that reasons has
    begun all the same, and belongs to one upstream."""
    off: tuple[Target, ...] = ()
    """Targets that are written too, whose upstream is off: nobody asks them, people may ask why."""
    checks_answers: bool = False
    """A whole answer that does not keep to the caller's JSON schema counts as failed."""

    @property
    def is_glob(self) -> bool:
        """Whether `model` stands for more names than its own."""
        return "*" in self.model or "?" in self.model


class Unit(StrEnum):
    """What a limit counts."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    NANO_USD = "nano_usd"
    STREAMS = "streams"
    """Calls under way at once: held while a call runs, never used up."""


class Every(StrEnum):
    """The calendar window of a limit."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"


class Per(StrEnum):
    """Whose counter it is: one for each of these."""

    TENANT = "tenant"
    USER = "user"
    KEY = "key"
    MODEL = "model"
    ROUTE = "route"
    UPSTREAM = "upstream"


class Limit(Struct, frozen=True):
    """A ceiling on what may be used in a window, or on how many calls may run at once.

    With `per` each tenant, user, key, model, route or upstream has a counter of its own; the filters
    narrow which calls count. A limit that names an upstream (by `per` or filter) makes the plan skip
    that upstream when spent; any other refuses the caller.
    """

    unit: Unit
    ceiling: int
    """Tokens, requests, nano-dollars, or calls at once."""
    every: Every | None
    """None exactly for calls at once, which need no window."""
    per: Per | None = None
    tenant: str | None = None
    user: str | None = None
    """An end person's pseudonym, as the ledger has it."""
    key: str | None = None
    model: str | None = None
    """A name, or a glob of names, that callers ask for."""
    route: str | None = None
    """A route by its own `model`, as the table writes it."""
    upstream: str | None = None
    marks: tuple[int, ...] = (75, 90)
    """Percentages that raise an alert once a window; 100 is always one."""
    zone: ZoneInfo | None = None
    """Where the midnights are at which its windows begin; None: in UTC."""
    shadow: bool = False
    """Counted and told, but nobody is refused and nothing skipped."""

    @property
    def of_upstream(self) -> bool:
        """Whether spending it skips the upstream instead of refusing the caller."""
        return self.upstream is not None or self.per is Per.UPSTREAM


class Consent(StrEnum):
    """What a call needs an end person's consent for."""

    OPTIONAL = "optional"
    """For nothing: every upstream may answer."""
    REQUIRED = "required"
    """To be answered at all."""
    SELF_HOSTED_WITHOUT = "self_hosted_without"
    """To be answered by an upstream that is not tagged `self-hosted`."""


class Privacy(Struct, frozen=True):
    """What is owed to the people whose calls these are."""

    consent: Consent = Consent.OPTIONAL
    retention_s: float | None = None
    """How long audit rows are kept; None: for ever."""


class Table(Struct, frozen=True):
    """Everything a call is judged by, apart from live health."""

    upstreams: Mapping[str, Upstream]
    """By name; only those that are on."""
    routes: tuple[Route, ...]
    """First match wins."""
    limits: tuple[Limit, ...] = ()
    privacy: Privacy = Privacy()
    off: Mapping[str, str] = field(default_factory=dict)
    """Upstreams that are off, by name, with the reason."""
    webhook: Secret | None = None
    """Where alerts are posted; its path or query often is a credential."""
    places: Mapping[str, int] = field(default_factory=dict)
    """Where in `routes` each `model` first stands: a name is looked up, however many routes there are."""
    globs: tuple[int, ...] = ()
    """Where in `routes` the globs stand, which have to be tried one after the other."""

    def __post_init__(self) -> None:
        places: dict[str, int] = {}
        for place, route in enumerate(self.routes):
            places.setdefault(route.model, place)
        force_setattr(self, "places", places)
        globs = tuple(place for place, route in enumerate(self.routes) if route.is_glob)
        force_setattr(self, "globs", globs)
