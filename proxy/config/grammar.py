"""The grammar of the file: every key, its form, its default and its meaning.

These models say what a well-formed file is; `schema.py` prints them as JSON Schema for editors and
`reference.py` as a page for people. Nothing here knows the other keys of the file: names that must
exist and limits that must make sense are `checks.py`'s. The models live only while a file is read;
what the program runs on is the `Table` and the `Settings`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from proxy.config.abilities import CapabilitiesPart, ModelPart, PricePart
from proxy.config.forms import (
    HEADER_NAME,
    BaseUrl,
    Count,
    Duration,
    DurationOrOff,
    Ledger,
    Listener,
    Member,
    ModelGlob,
    Name,
    NanoUsd,
    Origin,
    Part,
    Pseudonym,
    Reading,
    Retention,
    UpstreamName,
    Webhook,
    Whole,
    Zone,
)
from proxy.config.settings import Address
from proxy.table import Consent, DialectName, Every, OnMidstream, Per, ReasoningField


def _off_is_a_word(value: Any) -> Any:
    return "off" if value is False else value


def _target(value: Any) -> Any:
    return {"target": value} if isinstance(value, str) else value


def _record(value: Any) -> Any:
    return {"like": value} if isinstance(value, str) else value


class SettingsPart(Part):
    """Read once, at start."""

    listen: Listener = Address("127.0.0.1", 8080)
    """Where callers connect: HOST:PORT, or unix:/path for a sidecar."""
    admin: Listener = Address("127.0.0.1", 8081)
    """The admin listener; `off` for none."""
    probes: Listener = Address("127.0.0.1", 8082)
    """/healthz, /readyz and /metrics and nothing else; 0.0.0.0:8082 in a pod; `off` for none."""
    ledger: Ledger = Path("var/ledger.db")
    """A file as sqlite:///PATH (four slashes: absolute), or a database as postgresql://USER@HOST/DATABASE."""
    simulator: Annotated[Literal["off", "auto"], BeforeValidator(_off_is_a_word)] = "off"
    """auto: routes left without an upstream get a simulated one, said loudly."""
    auth: Literal["keys", "none"] = "keys"
    """Who may call: holders of a key, or anybody (none: only where `listen` is loopback or unix)."""
    drain: Duration = 30.0
    """How long running calls may finish after SIGTERM."""
    max_calls: Annotated[Whole, Field(ge=0, le=1_000_000)] | None = None
    """So many calls at once; more are refused unread. 0: no bound; default: 10_000, or what files allow."""
    max_lag: DurationOrOff = 0.5
    """While the loop is so late, new calls are refused unread; off: never."""
    origins: Annotated[list[Origin], Field(max_length=100)] = []
    """Whose pages in browsers may ask for a WebSocket, or call where auth is none; default: nobody's."""
    tz: Zone = "UTC"
    """Where days, weeks and months of limits begin that name no zone; in force as soon as the limits are."""


class TimeoutsPart(Part):
    """How long each phase of an attempt may take."""

    connect: Duration | None = None
    """DNS, TCP and TLS together."""
    first_token: Duration | None = None
    """From the beginning of an attempt, its connection included, to the first content of a stream."""
    whole: Duration | None = None
    """The same to the whole of an answer that is not streamed."""
    idle: Duration | None = None
    """After the first content: between two events of a stream that tell something; comments do not."""
    total: Duration | None = None
    """The whole attempt; a caller who reads slowly is waited for beside that, up to as long again."""


class BreakerPart(Part):
    """When an upstream is given up for a while."""

    failures: Annotated[Whole, Field(gt=0, le=1000)] = 5
    """Consecutive failures that open the breaker."""
    open: Duration = 60.0
    """First open time; it doubles while probes fail."""
    open_max: Duration | None = None
    """The longest open time; default 5m, or `open` where that is longer."""


class LoadPart(Part):
    """Whether an engine is asked how busy it is, and what is too much; only where `dialect` is vllm."""

    metrics: Annotated[Literal["auto", "off"], BeforeValidator(_off_is_a_word)] = "auto"
    """auto: its /metrics, beside base_url, is read; off: it is not, and never passed over for its load."""
    every: Reading = 2.0
    """Between two readings, 250ms to 1m. One that is three readings old counts no more."""
    waiting: Annotated[Whole, Field(ge=1, le=100_000)] = 16
    """From so many waiting there it is passed over, till half are left; the last that is left never is."""


class UpstreamPart(Part):
    """A base URL, its dialect and its manners."""

    dialect: DialectName = "openai"
    """The wire language: openai (and all that resemble it), vllm, anthropic or gemini."""
    base_url: BaseUrl | None = None
    """Up to and with the version, such as /v1, without an endpoint; default: the vendor's. vllm must say."""
    api_key: Annotated[str | None, Field(repr=False, json_schema_extra={"writeOnly": True})] = None
    """Sent as the dialect has it; write it as a reference, such as ${OPENAI_API_KEY}."""
    headers: Annotated[dict[Annotated[str, Field(pattern=HEADER_NAME)], str], Field(repr=False)] = {}
    """Fixed headers sent with every request, such as OpenAI-Organization."""
    tags: list[Name] = []
    """Words about this upstream, such as self-hosted."""
    streams: Annotated[Whole, Field(gt=0, le=100_000)] | None = None
    """At most so many calls at once; when full it is passed over, or waited for in line if it is the last."""
    load: LoadPart = LoadPart()
    """Whether it is asked how busy it is, and what is too much."""
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
    """Tries at one target."""

    attempts: Annotated[Whole, Field(ge=1, le=10)] = 2
    """The first try included."""
    in_place: Duration | None = None
    """One that fails is waited for so long and asked again first; default: 1s, if it asks for that itself."""


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
    reasoning_field: ReasoningField = "reasoning_content"
    """The member in which callers get reasoning text; none: they do not get it."""
    check_answers: Annotated[Literal["off", "schema"], BeforeValidator(_off_is_a_word)] = "off"
    """schema: a whole answer (never a stream) off the JSON schema in `response_format` counts as failed."""
    defaults: dict[Member, Any] = {}
    """Filled in where a caller is silent, by whatever name: what callers could send, but no end person."""
    timeouts: TimeoutsPart = TimeoutsPart()
    """Narrower than the upstream's."""


class LimitPart(Part):
    """A ceiling on one of tokens, requests, usd in a window, or on streams at once."""

    per: Per | None = None
    """A counter for each tenant, user, key, model, route or upstream."""
    tenant: Name | None = None
    """Only calls of this tenant."""
    user: Pseudonym | None = None
    """Only calls for this end person, by pseudonym, as the ledger has it; never by an id or an address."""
    key: Name | None = None
    """Only calls with this key's id."""
    model: Name | None = None
    """Only calls for this public model name."""
    route: ModelGlob | None = None
    """Only calls of this route: its `model` as written there."""
    upstream: UpstreamName | None = None
    """Only calls answered by this upstream; spent, it is skipped instead of the caller refused."""
    tokens: Count | None = None
    """Input and output tokens together."""
    requests: Count | None = None
    """Calls."""
    usd: NanoUsd | None = None
    """Dollars, by the prices below."""
    streams: Count | None = None
    """Calls under way at once, streamed or not; without `every`."""
    every: Every | None = None
    """The calendar window; all but streams need one. Weeks begin on Monday."""
    tz: Zone | None = None
    """Where its days, weeks or months begin; default: settings.tz."""
    alert: Annotated[list[Annotated[Whole, Field(ge=1, le=100)]], Field(max_length=10)] = [75, 90]
    """Percentages told once a window; 100 always is."""
    shadow: bool = False
    """Counted and told, by a counter of its own, but nobody is refused."""


class AlertsPart(Part):
    """Where alerts go besides the log and the ledger."""

    webhook: Annotated[Webhook, Field(repr=False)] = ""
    """Each alert is posted there as a small JSON document; empty: nowhere else."""


class PrivacyPart(Part):
    """What callers consent to, and how long rows are kept."""

    consent: Consent = Consent.OPTIONAL
    """For calls without `x-user-consent: true`. optional: every upstream may answer; required: they are
    refused; self_hosted_without: only upstreams tagged self-hosted may answer."""
    retention: Retention | None = None
    """How long audit rows are kept, 1d to 3660d; then they go and sums stay. Default: for ever."""


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
    """What callers consent to, and how long rows are kept."""
    prices: dict[ModelGlob, PricePart] = {}
    """By UPSTREAM/MODEL, or a glob of it; first match wins. Well-known models have a packaged price."""
    models: dict[ModelGlob, ModelPart] = {}
    """By UPSTREAM/MODEL, or a glob of it; first match wins. Well-known models have packaged facts."""
