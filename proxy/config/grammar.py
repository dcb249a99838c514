"""The grammar of the file: every key, its form, its default and its meaning.

These models say what a well-formed file is; `schema.py` prints them as JSON Schema for editors and
`reference.py` as a page for people. Nothing here knows the other keys of the file: names that must
exist and limits that must make sense are `checks.py`'s. The models live only while a file is read;
what the program runs on is the `Table` and the `Settings`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from proxy.config import units
from proxy.config.settings import Address
from proxy.table import DialectName, Every, OnMidstream, Per

NAME = r"^[A-Za-z0-9._:/@+-]{1,128}$"
UPSTREAM_NAME = r"^[A-Za-z0-9._:@+-]{1,64}$"
MODEL_GLOB = r"^[A-Za-z0-9._:/@+*?-]{1,128}$"
HEADER_NAME = r"^[A-Za-z0-9-]{1,64}$"
MEMBER = r"^[A-Za-z0-9_.-]{1,64}$"

Name = Annotated[str, Field(pattern=NAME)]
UpstreamName = Annotated[str, Field(pattern=UPSTREAM_NAME)]
ModelGlob = Annotated[str, Field(pattern=MODEL_GLOB)]
Member = Annotated[str, Field(pattern=MEMBER)]
Whole = Annotated[int, BeforeValidator(units.whole)]
Count = Annotated[Whole, Field(gt=0, le=10**15)]
Duration = Annotated[
    float,
    BeforeValidator(units.duration),
    WithJsonSchema({"type": "string", "pattern": units.DURATION, "examples": ["250ms", "2s", "5m"]}),
]
Listener = Annotated[
    Address | None,
    BeforeValidator(units.address),
    WithJsonSchema(
        {"type": ["string", "boolean"], "examples": ["127.0.0.1:8080", "unix:/run/f.sock", "off"]}
    ),
]
LedgerFile = Annotated[
    Path,
    BeforeValidator(units.ledger),
    WithJsonSchema({"type": "string", "pattern": "^sqlite:///.", "examples": ["sqlite:///var/ledger.db"]}),
]
BaseUrl = Annotated[
    str, BeforeValidator(units.base_url), WithJsonSchema({"type": "string", "examples": ["https://HOST/v1"]})
]
NanoUsd = Annotated[
    int,
    BeforeValidator(units.nano_usd),
    WithJsonSchema({"type": "number", "minimum": 0}),
]


def _off_is_a_word(value: Any) -> Any:
    return "off" if value is False else value


def _target(value: Any) -> Any:
    return {"target": value} if isinstance(value, str) else value


def _record(value: Any) -> Any:
    return {"like": value} if isinstance(value, str) else value


class Part(BaseModel):
    """A mapping of the file. A known key without a value counts as not written."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if item is not None or key not in cls.model_fields}


class SettingsPart(Part):
    """Read once, at start."""

    listen: Listener = Address("127.0.0.1", 8080)
    """Where callers connect: HOST:PORT, or unix:/path for a sidecar."""
    admin: Listener = Address("127.0.0.1", 8081)
    """The admin listener; `off` for none."""
    probes: Listener = Address("127.0.0.1", 8082)
    """/healthz, /readyz and /metrics and nothing else; 0.0.0.0:8082 in a pod; `off` for none."""
    ledger: LedgerFile = Path("var/ledger.db")
    """The ledger's file as sqlite:///PATH, relative to the working directory; four slashes: absolute."""
    simulator: Annotated[Literal["off", "auto"], BeforeValidator(_off_is_a_word)] = "off"
    """auto: routes left without an upstream get a simulated one, said loudly."""
    auth: Literal["keys", "none"] = "keys"
    """Who may call: holders of a key, or anybody (none: only where `listen` is loopback or unix)."""
    drain: Duration = 30.0
    """How long running calls may finish after SIGTERM."""


class TimeoutsPart(Part):
    """How long each phase of an attempt may take."""

    connect: Duration | None = None
    """DNS, TCP and TLS together."""
    first_token: Duration | None = None
    """From the request's last byte to the first content of a stream."""
    whole: Duration | None = None
    """From the request's last byte to the whole of an answer that is not streamed."""
    idle: Duration | None = None
    """Between two pieces of content."""
    total: Duration | None = None
    """The whole attempt."""


class BreakerPart(Part):
    """When an upstream is given up for a while."""

    failures: Annotated[Whole, Field(gt=0, le=1000)] = 5
    """Consecutive failures that open the breaker."""
    open: Duration = 60.0
    """First open time; it doubles while probes fail."""
    open_max: Duration | None = None
    """The longest open time; default 5m, or `open` where that is longer."""


class CapabilitiesPart(Part):
    """How a server differs from OpenAI. Start from a known one and correct it.

    A member named in `accept`, `strip` or `refuse` gets that fate, whatever the known record says.
    """

    like: Literal["openai", "deepseek", "mistral", "ollama", "vllm", "plain"] | None = None
    """The known server to start from; default: by dialect and host, else plain."""
    accept: list[Member] = []
    """Body members that pass."""
    strip: list[Member] = []
    """Body members that never pass; the answer means the same without them."""
    refuse: list[Member] = []
    """Body members whose loss would change the answer: such a call goes to the next target."""
    rename: dict[Member, Member] = {}
    """OpenAI's member: the name here."""
    usage_option: bool | None = None
    """Understands stream_options.include_usage."""
    developer_role: bool | None = None
    """Knows the developer role; otherwise it is sent as system."""
    flatten_content: bool | None = None
    """Takes message content only as one text."""
    reasoning: Literal["strip", "reasoning_content", "reasoning"] | None = None
    """Name of reasoning members in the history, or strip."""
    tool_ids: Literal["any", "alnum9"] | None = None
    """alnum9: tool-call ids must be nine letters or digits."""
    nulls: bool | None = None
    """Accepts members that are explicitly null."""
    extra_message_members: bool | None = None
    """Accepts members inside messages that are not OpenAI's own."""
    prefill: bool | None = None
    """Can continue a trailing assistant message."""


class UpstreamPart(Part):
    """A base URL, its dialect and its manners."""

    dialect: DialectName = "openai"
    """The wire language: openai (and all that resemble it), vllm, anthropic or gemini."""
    base_url: BaseUrl | None = None
    """Up to and with the version, such as /v1; default: the vendor's own. vllm must say."""
    api_key: Annotated[str | None, Field(repr=False, json_schema_extra={"writeOnly": True})] = None
    """Sent as the dialect has it; write it as a reference, such as ${OPENAI_API_KEY}."""
    headers: Annotated[dict[Annotated[str, Field(pattern=HEADER_NAME)], str], Field(repr=False)] = {}
    """Fixed headers sent with every request, such as OpenAI-Organization."""
    tags: list[Name] = []
    """Words about this upstream, such as self-hosted."""
    streams: Annotated[Whole, Field(gt=0, le=100_000)] | None = None
    """At most so many calls at once; when full it is passed over, or waited for in line if it is the last."""
    timeouts: TimeoutsPart = TimeoutsPart()
    """Defaults: connect 5s, first_token 60s, whole 5m, idle 60s, total 10m."""
    breaker: BreakerPart = BreakerPart()
    """When it is given up for a while."""
    capabilities: Annotated[CapabilitiesPart, BeforeValidator(_record)] = CapabilitiesPart()
    """How this server differs from OpenAI: the name of a known one, or a correction of it."""


class TargetPart(Part):
    """An upstream and the model's name there."""

    target: Annotated[str, Field(min_length=1, max_length=200)]
    """UPSTREAM/MODEL."""


class RetryPart(Part):
    """Tries at one target before the next."""

    attempts: Annotated[Whole, Field(ge=1, le=10)] = 2
    """The first try included."""


class HedgePart(Part):
    """When a second target is asked beside one that is late."""

    after: Duration
    """A stream that has brought no content for so long is late. Each such call may cost two prompts."""


class RoutePart(Part):
    """A match on the call and the targets that may answer it."""

    model: ModelGlob
    """The public name callers ask for, or a glob with * and ?."""
    targets: Annotated[
        list[Annotated[TargetPart, BeforeValidator(_target)]], Field(min_length=1, max_length=50)
    ]
    """Tried in order: UPSTREAM/MODEL, or {target: UPSTREAM/MODEL}."""
    order: Literal["priority"] = "priority"
    """The order in which targets are tried: as written."""
    retry: RetryPart = RetryPart()
    """Tries at one target before the next."""
    on_midstream: OnMidstream = OnMidstream.ERROR
    """What mends a stream that breaks: nothing, a target that goes on exactly, or one that answers anew."""
    hedge: HedgePart | None = None
    """Ask the next target too when the first content is late; whoever has it first answers."""
    max_output_tokens: Annotated[Whole, Field(gt=0, le=10_000_000)] = 4096
    """Held against limits when the caller names no maximum."""
    drop_params: bool = False
    """A target known not to do all of a call is passed over; true: asked for less, and the caller told so."""
    defaults: dict[Member, Any] = {}
    """Body members filled in where the caller is silent."""
    timeouts: TimeoutsPart = TimeoutsPart()
    """Narrower than the upstream's."""


class LimitPart(Part):
    """A ceiling on what may be used in a window: one of tokens, requests, usd."""

    per: Per | None = None
    """A counter for each tenant, key, model or upstream."""
    tenant: Name | None = None
    """Only calls of this tenant."""
    key: Name | None = None
    """Only calls with this key's id."""
    model: Name | None = None
    """Only calls for this public model name."""
    upstream: UpstreamName | None = None
    """Only calls answered by this upstream; spent, it is skipped instead of the caller refused."""
    tokens: Count | None = None
    """Input and output tokens together."""
    requests: Count | None = None
    """Calls."""
    usd: NanoUsd | None = None
    """Dollars, by the prices below."""
    every: Every
    """The calendar window, in UTC: minute, day or month."""
    alert: Annotated[list[Annotated[Whole, Field(ge=1, le=100)]], Field(max_length=10)] = [75, 90]
    """Percentages told once a window; 100 always is."""


class AlertsPart(Part):
    """Where alerts go besides the log and the ledger."""

    webhook: Literal[""] = ""
    """Empty: nowhere else."""


class PrivacyPart(Part):
    """What callers consent to."""

    consent: Literal["optional"] = "optional"
    """optional: every upstream may answer every call."""


class PricePart(Part):
    """US dollars per million tokens."""

    input: NanoUsd
    """Prompt tokens."""
    output: NanoUsd
    """Completion tokens, reasoning included."""
    cached: NanoUsd | None = None
    """Prompt tokens read from the upstream's cache; default: as input."""
    cache_write: NanoUsd | None = None
    """Prompt tokens written to the upstream's cache; default: as input."""


class File(Part):
    """The routing table of Fallthrough."""

    settings: SettingsPart = SettingsPart()
    """Read once, at start."""
    upstreams: Annotated[dict[UpstreamName, UpstreamPart], Field(min_length=1)]
    """Who can answer, by name."""
    routes: Annotated[list[RoutePart], Field(min_length=1, max_length=1000)]
    """First match wins."""
    limits: Annotated[list[LimitPart], Field(max_length=1000)] = []
    """Held before the call, settled after it."""
    alerts: AlertsPart = AlertsPart()
    """Where alerts go."""
    privacy: PrivacyPart = PrivacyPart()
    """What callers consent to."""
    prices: dict[ModelGlob, PricePart] = {}
    """By UPSTREAM/MODEL, or a glob of it; first match wins."""
    models: Annotated[dict[str, Any], Field(max_length=0)] = {}
    """Nothing yet."""
