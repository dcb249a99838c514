"""The table: upstreams, routes and limits in force, immutable and replaced whole.

`proxy/config` builds it from YAML and the environment; everything else only reads it. It knows no
file, no clock and no live state: breakers and load live in `snapshot.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

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
    """The whole attempt, streamed or not. A slow caller is waited for beside that, up to as long again."""


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
    running_usage: bool = False
    """Tells the count with every event if asked to (`stream_options.continuous_usage_stats`)."""
    developer_role: bool = False
    """Knows the `developer` role; otherwise it is sent as `system`."""
    flatten_content: bool = False
    """Takes message content only as a string: text parts are joined, other parts refused."""
    images: Literal["any", "data", "none"] = "any"
    """Pictures it takes: all, only JPEG, PNG and WebP inside the request, or none."""
    audio: Literal["object", "string", "none"] = "object"
    """How it takes sound: as OpenAI has it, as plain base64 (`string`), or not at all."""
    files: Literal["any", "document_url", "none"] = "any"
    """Files it takes: as OpenAI has them, PDF in a part of that name, or none."""
    reasoning: Literal["strip", "reasoning_content", "reasoning"] = "strip"
    """What becomes of reasoning members in the history: dropped, or sent under this name."""
    reasoning_required: bool = False
    """Each assistant turn with tool calls must bring its reasoning back, if only an empty text."""
    efforts: tuple[tuple[str, str], ...] = ()
    """(OpenAI's `reasoning_effort`, the word for it here); what is not listed goes as it is."""
    thinking_switch: bool = False
    """Knows `thinking: {type}`, by which effort `none` is said; without it thinking is on."""
    tools: Literal["any", "functions"] = "any"
    """`functions`: knows no other tools, neither the old `functions` nor `allowed_tools`; all that can
    be said by `tools` is, and the rest refused."""
    forced_tools: bool = True
    """Heeds `tool_choice`; False: `none` is said by offering no tools, and forcing a call is refused."""
    tool_parameters: bool = False
    """Demands a schema of every function's parameters."""
    tool_ids: Literal["any", "upto40", "alnum9"] = "any"
    """Ids of tool calls: at most 40 characters (OpenAI), or just nine letters or digits (Mistral);
    others are hashed down."""
    parses_arguments: bool = False
    """Where it knows only functions: reads the arguments of earlier calls, so that broken are refused."""
    schemas: bool = True
    """Can be held to a JSON schema; False: at most to JSON."""
    person: str | None = None
    """Member that names the end person, always by a pseudonym; None: OpenAI's own go as they are."""
    temperature_max: float | None = None
    """Highest temperature it takes; None: OpenAI's."""
    lone_zero: bool = False
    """Takes temperature 0 only without `top_p`, which means nothing beside it."""
    nulls: bool = True
    """Accepts members that are explicitly null; False: they are left out."""
    answer_members: bool = True
    """Knows what earlier answers are marked with; False: a refusal is said as text, annotations are
    left out, and an answer that was spoken is refused."""
    extra_message_members: bool = True
    """Accepts unknown members inside messages and tools; False: only OpenAI's own are sent."""
    strip_inside: frozenset[str] = frozenset()
    """Members that never pass inside parts of content and tools, such as marks for a cache."""
    merge_users: bool = False
    """Takes one user message at a time: neighbours are joined, and turns that say nothing left out."""
    prefill: bool = False
    """Can continue a trailing assistant message."""
    prefix: bool = False
    """A trailing assistant message must say so (`prefix: true`)."""
    own_members: frozenset[str] = frozenset()
    """Members of its answers that are its own affair (padding, service data) and never go on."""


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
    thinks: bool | None = None
    """Thinks unless it is told not to."""
    efforts: tuple[str, ...] | None = None
    """Efforts it tells apart, rising; empty where effort is said by a budget of tokens."""
    budget: tuple[int, int] | None = None
    """The least and the most tokens it can be given to think; a least above 0: it always thinks."""
    inline_system: bool | None = None
    """Takes a system message in the middle of a conversation."""
    signed_calls: bool | None = None
    """Takes a call in the history only with the signature that it came with."""


@dataclass(frozen=True, slots=True)
class Media:
    """The most tokens that a model counts for what is not text."""

    image: int = 50_000
    """One picture. The default is beyond the dearest that is known."""
    context: int = 1_050_000
    """All that it reads at once: what documents, moving pictures and the unknown may come to together."""


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream plus the model's name there."""

    upstream: str
    model: str
    price: Price | None = None
    """None: unknown; such a target counts as free in `usage`, and is a fault under a USD limit."""
    facts: ModelFacts = field(default=ModelFacts(), compare=False)
    """What the model takes and can do."""
    packaged_price: bool = field(default=False, compare=False)
    """Whether `price` is from the packaged tables and not the file's own."""
    media: Media = field(default=Media(), compare=False)
    """What it counts pictures and documents as, at most; `facts.context` is believed before it."""

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


@dataclass(frozen=True, slots=True)
class Limit:
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


@dataclass(frozen=True, slots=True)
class Privacy:
    """What is owed to the people whose calls these are."""

    consent: Consent = Consent.OPTIONAL
    retention_s: float | None = None
    """How long audit rows are kept; None: for ever."""


@dataclass(frozen=True, slots=True)
class Table:
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
    caller_limits: tuple[Limit, ...] = field(init=False, repr=False, compare=False)
    """Those of `limits` that can refuse a caller, the lowest ceiling first: in order once for all calls."""
    upstream_limits: tuple[Limit, ...] = field(init=False, repr=False, compare=False)
    """The others, in the same order: spent, they make a target be skipped."""

    def __post_init__(self) -> None:
        rising = sorted(self.limits, key=lambda limit: limit.ceiling)
        mine = tuple(limit for limit in rising if not limit.of_upstream)
        object.__setattr__(self, "caller_limits", mine)
        object.__setattr__(self, "upstream_limits", tuple(limit for limit in rising if limit.of_upstream))
