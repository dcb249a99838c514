"""The table: upstreams, routes and limits in force, immutable and replaced whole.

`proxy/config` builds it from YAML and the environment; everything else only reads it. It knows no
file, no clock and no live state: breakers and load live in `snapshot.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from proxy.usage import Price

DialectName = Literal["openai", "vllm", "anthropic", "gemini"]


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


@dataclass(frozen=True, slots=True)
class Timeouts:
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
    """The whole attempt, streamed or not."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When an upstream is given up for a while."""

    failures: int = 5
    """Consecutive failures that open the breaker."""
    open_s: float = 60.0
    """First open time; it doubles while probes fail, up to `open_max_s`."""
    open_max_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """How an OpenAI-shaped upstream differs from OpenAI (`facts/capabilities.py` has the known ones)."""

    accept: frozenset[str] | None = None
    """The only body members that may pass; None: all that `strip` does not name."""
    strip: frozenset[str] = frozenset()
    """Body members that never pass, silently where they are hints, else noted as degraded."""
    refuse: frozenset[str] = frozenset()
    """Members whose loss would change the answer: a call that uses one cannot be served here."""
    rename: tuple[tuple[str, str], ...] = ()
    """(OpenAI's member, the upstream's member); if both are given the upstream's own name wins."""
    usage_option: bool = True
    """Understands `stream_options.include_usage`; False: usage comes unasked on the last chunk."""
    developer_role: bool = False
    """Knows the `developer` role; otherwise it is sent as `system`."""
    flatten_content: bool = False
    """Takes message content only as a string: text parts are joined, other parts refused."""
    reasoning: Literal["strip", "reasoning_content", "reasoning"] = "strip"
    """What becomes of reasoning members in the history: dropped, or sent under this name."""
    tool_ids: Literal["any", "alnum9"] = "any"
    """`alnum9`: tool-call ids must be nine letters or digits (Mistral); others are hashed down."""
    nulls: bool = True
    """Accepts members that are explicitly null; False: they are left out."""
    extra_message_members: bool = True
    """Accepts unknown members inside messages; False: only OpenAI's own are sent."""
    prefill: bool = False
    """Can continue a trailing assistant message."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A base URL, its dialect and its manners."""

    name: str
    dialect: DialectName
    base_url: str
    """Without a trailing slash; the dialect appends its path, such as `/chat/completions`."""
    api_key: Secret | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Fixed headers sent with every request, such as `OpenAI-Organization`; not shown, some hold keys."""
    tags: frozenset[str] = frozenset()
    streams: int | None = None
    """At most so many attempts at once; None: as many as come."""
    timeouts: Timeouts = Timeouts()
    breaker: BreakerRules = BreakerRules()
    capabilities: Capabilities = Capabilities()
    simulated: bool = False
    """Served by the built-in simulator (`simulator: auto`); its base URL is known only at start."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What one model takes and can do, as far as anybody knows. None: nobody does, so it is tried.

    `proxy/facts` has what is known of the well-known models; the table's `models` corrects it.
    """

    context: int | None = None
    """Tokens of prompt and answer together."""
    output: int | None = None
    """The most tokens of one answer."""
    tools: bool | None = None
    """Calls functions."""
    forced_tools: bool | None = None
    """Can be made to call a tool (`tool_choice` of `required` or by name)."""
    vision: bool | None = None
    """Sees pictures."""
    audio: bool | None = None
    """Hears sound."""
    files: bool | None = None
    """Reads documents."""
    schemas: bool | None = None
    """Can be held to a JSON schema."""
    schemas_with_tools: bool | None = None
    """The same while tools are offered."""
    logprobs: bool | None = None
    """Tells how likely its tokens were."""
    choices: bool | None = None
    """Gives several answers at once (`n`)."""
    prefill: bool | None = None
    """Continues a last assistant message."""
    sampling: bool | None = None
    """Takes `temperature`, `top_p` and `top_k`, at least as long as it does not think."""
    thinking: frozenset[str] | None = None
    """The ways in which it is told to think, in the words of its dialect; empty: it cannot think."""
    efforts: tuple[str, ...] | None = None
    """Efforts it tells apart, rising; empty where effort is said by a budget of tokens."""
    budget: tuple[int, int] | None = None
    """The least and the most tokens it can be given to think; a least above 0: it always thinks."""
    inline_system: bool | None = None
    """Takes a system message in the middle of a conversation."""
    signed_calls: bool | None = None
    """Takes a call in the history only with the signature that it came with."""


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream plus the model's name there."""

    upstream: str
    model: str
    price: Price | None = None
    """None: unknown; such a target counts as free in `usage`, and is a fault under a USD limit."""
    facts: ModelFacts = field(default=ModelFacts(), compare=False)
    """What the model takes and can do."""

    def __str__(self) -> str:
        return f"{self.upstream}/{self.model}"


class OnMidstream(StrEnum):
    """What becomes of a stream that breaks after its first content."""

    ERROR = "error"
    """The caller is told in an error event."""
    CONTINUE = "continue"
    """A target that can goes on from where it broke."""
    RESTART = "restart"
    """A target answers anew; if it begins with what was sent already, the rest goes out."""


@dataclass(frozen=True, slots=True)
class Route:
    """A match on the call and the targets that may answer it, in order."""

    model: str
    """Exact public name, or a glob with `*` and `?`."""
    targets: tuple[Target, ...]
    """Only targets whose upstream is on."""
    attempts: int = 2
    """Tries at one target before the next, the first included; only short waits are retried in place."""
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


class Unit(StrEnum):
    """What a limit counts."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    NANO_USD = "nano_usd"


class Every(StrEnum):
    """The calendar window of a limit, in UTC."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"


class Per(StrEnum):
    """Whose counter it is: one for each of these."""

    TENANT = "tenant"
    KEY = "key"
    MODEL = "model"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Limit:
    """A ceiling on what may be used in a window.

    With `per` each tenant, key, model or upstream has a counter of its own; the filters narrow
    which calls count. A limit that names an upstream (by `per` or filter) makes the plan skip that
    upstream when spent; any other refuses the caller.
    """

    unit: Unit
    ceiling: int
    """Tokens, requests, or nano-dollars."""
    every: Every
    per: Per | None = None
    tenant: str | None = None
    key: str | None = None
    model: str | None = None
    upstream: str | None = None
    marks: tuple[int, ...] = (75, 90)
    """Percentages that raise an alert once a window; 100 is always one."""

    @property
    def of_upstream(self) -> bool:
        """Whether spending it skips the upstream instead of refusing the caller."""
        return self.upstream is not None or self.per is Per.UPSTREAM


@dataclass(frozen=True, slots=True)
class Table:
    """Everything a call is judged by, apart from live health."""

    upstreams: Mapping[str, Upstream]
    """By name; only those that are on."""
    routes: tuple[Route, ...]
    """First match wins."""
    limits: tuple[Limit, ...] = ()
    off: Mapping[str, str] = field(default_factory=dict)
    """Upstreams that are off, by name, with the reason."""
