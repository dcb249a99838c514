"""What travels through the house: the call, its attempts, the signals of trouble, the outcome.

Frozen records only. A `Call` is everything that the story may know about a request once it is
parsed; an `Outcome` is everything that observers and the ledger may know once it has ended, and
so it holds no prompt, no answer and no secret.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from proxy.errors import ErrorType, Told
from proxy.pauses import Pauses
from proxy.question import Question
from proxy.table import ReasoningField
from proxy.usage import Usage


class Identity(Struct, frozen=True):
    """Who calls, as the key says."""

    tenant: str
    key_id: str
    user: str | None = None
    """Keyed pseudonym of the end person (never the id itself), or None."""
    session: str | None = None
    """Keyed pseudonym of the conversation that the call belongs to (`x-session-id`), or None."""


class Call(Struct, frozen=True):
    """One chat-completion request, parsed once."""

    id: str
    """`req_…`; the caller sees it as `x-request-id`."""
    created: int
    """Wall time of arrival, whole Unix seconds."""
    identity: Identity
    model: str
    """The public name asked for."""
    body: Mapping[str, Any]
    """The parsed JSON object. Never changed: a retry translates it again."""
    prompt_bytes: int
    """Size of the request body in bytes: an upper bound on prompt tokens. From the judgement on pictures do
    not count in it by their data, but by what their tokens can be (`estimate.unreported_bytes`)."""
    stream: bool
    include_usage: bool
    """Whether the caller asked for the usage chunk."""
    preferred: str | None = None
    """Target to try first, as `UPSTREAM`, `UPSTREAM/MODEL` or `/MODEL` (`x-preferred-upstream`, `-model`)."""
    patience_s: float | None = None
    """How long the caller will wait (`x-request-timeout`), seconds."""
    consent: bool | None = None
    """Whether the end person agreed (`x-user-consent`); None: nothing was said, which is not a yes."""
    silence_s: float | None = None
    """How long the caller's program bears to get nothing (`x-stainless-read-timeout`), seconds."""
    retries: int = 0
    """How often the caller's program has tried before (`x-stainless-retry-count`)."""
    question: Question | None = None
    """What its `idempotency-key` stands for; None: it has none."""
    mends: bool = False
    """Another may have to go on with its stream, so that it is worth knowing at each word how far it got."""
    output_cap: int | None = None
    """Sent as the maximum when the caller names none; None: nothing is added."""
    drop_params: bool = False
    """The route's word: leave out, and note, what an upstream cannot do, instead of refusing it."""
    reasoning_field: ReasoningField = "reasoning_content"
    """The route's word: the member in which the caller gets reasoning, or `none`."""

    def __repr__(self) -> str:
        """Nothing of what is said, wherever it may be shown."""
        return f"Call({self.id!r}, {self.model!r})"


class UpstreamRequest(Struct, frozen=True):
    """What goes out, rebuilt from the parsed call."""

    path: str
    """Appended to the upstream's base URL."""
    headers: tuple[tuple[str, str], ...]
    """All end-to-end headers; the client adds only framing ones."""
    body: bytes
    degraded: tuple[str, ...] = ()
    """Members left out that the caller should know of (`x-fallthrough-degraded`)."""
    method: str = "POST"

    def __repr__(self) -> str:
        """Neither the credential nor what is said."""
        return f"UpstreamRequest({self.method} {self.path}, {len(self.body)} bytes)"


class Memory(Struct, frozen=True):
    """State of an answer that must come back when its tool calls do, though callers lose it.

    Only the dialect that made it can read it; see `ports.Recall`.
    """

    calls: tuple[str, ...]
    """Ids of the tool calls, as the caller knows them; never empty."""
    state: bytes

    def __repr__(self) -> str:
        """Not what was thought."""
        return f"Memory({self.calls!r}, {len(self.state)} bytes)"


class Phase(StrEnum):
    """How far an attempt had got when something happened."""

    CONNECT = "connect"
    """Nothing was sent."""
    SENT = "sent"
    """The request left, no status came: the upstream may have billed."""
    HEADERS = "headers"
    """A status came, no content yet."""
    CONTENT = "content"
    """Content has been seen; after C2 the caller has some of it."""


class Kind(StrEnum):
    """What went wrong, in no vendor's words."""

    UNREACHABLE = "unreachable"
    """DNS, refused, TLS, or no connection in time."""
    RESET = "reset"
    """The connection broke."""
    TIMEOUT = "timeout"
    """A phase took too long."""
    HELD_UP = "held_up"
    """The whole took too long, and only because the caller was slow to take it."""
    RATE_LIMITED = "rate_limited"
    """Too many requests or tokens just now."""
    OVERLOADED = "overloaded"
    """The upstream itself is failing or full: 5xx, 529, 408, 409."""
    SATURATED = "saturated"
    """The upstream is well, and has as much to do as it takes just now."""
    NO_CREDIT = "no_credit"
    """The operator's account is out of money or over a spending cap."""
    BAD_KEY = "bad_key"
    """The operator's credential, region or permission was refused."""
    NO_MODEL = "no_model"
    """The model does not exist there."""
    BAD_REQUEST = "bad_request"
    """The request itself is wrong, whoever answers."""
    TOO_LONG = "too_long"
    """The prompt exceeds the model's context."""
    FILTERED = "filtered"
    """A content policy refused the request."""
    BAD_ANSWER = "bad_answer"
    """A success status with something else than an answer inside."""
    OFF_SCHEMA = "off_schema"
    """A whole answer that does not keep to the schema that its caller asked for."""
    TRUNCATED = "truncated"
    """The answer stopped without saying that it was finished."""
    STRAYED = "strayed"
    """Asked to answer anew, it gave another answer than the one that the caller has the beginning of."""
    UNABLE = "unable"
    """This upstream cannot express the request, of which nothing is sent then, or its model refuses it."""
    UNSAYABLE = "unsayable"
    """It answered, in what no chat completion can hold."""


class Signal(Struct, frozen=True):
    """Trouble with one attempt, stripped of every vendor's words."""

    kind: Kind
    phase: Phase
    status: int | None = None
    """The upstream's HTTP status, if one came."""
    retry_after_s: float | None = None
    """What the upstream asked for, seconds, not yet clamped; None: it did not say."""
    told: Told | None = None
    """For the caller's own faults: the upstream's error, made safe to show."""
    detail: str = ""
    """For the log: a few words without prompt, answer or secret."""


class Load(Struct, frozen=True):
    """How busy an upstream says that it is, stripped of every vendor's words."""

    running: int
    """Requests that it works on."""
    waiting: int
    """Requests that it has taken and not begun."""
    cache: float | None = None
    """The part of its memory for prompts that is in use, 0 to 1; None: it does not say."""


class UpstreamLost(Exception):
    """Raised by the upstream room when the connection cannot be made, breaks or turns to garbage."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal.detail or signal.kind)
        self.signal = signal


class Billed(StrEnum):
    """Whether the upstream will charge for an attempt."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Passed(Struct, frozen=True):
    """A target that was not tried, and why."""

    upstream: str
    model: str
    why: str
    """A few words about the target, such as `open` or `limit spent`."""
    until: float | None = None
    """When it may be tried again, if that is known (monotonic seconds)."""


class Attempt(Struct, frozen=True):
    """One try at one target, as the ledger keeps it."""

    upstream: str
    model: str
    result: str
    """`ok`, a class of `policy/classify.py` such as `overload`, `outrun`, or `caller_gone`."""
    status: int | None
    phase: str
    started_ms: int
    """Since the call arrived."""
    first_ms: int | None
    """First content, since the call arrived."""
    ended_ms: int
    billed: Billed
    usage: Usage | None = None
    detail: str = ""
    passed: tuple[Passed, ...] = ()
    """Targets that were passed over since the try before, and so led to this one."""
    pauses: Pauses | None = None
    """Of a stream. Only for observers."""


class Outcome(Struct, frozen=True):
    """How a call ended: handed to observers and written to the ledger."""

    call_id: str
    identity: Identity
    model: str
    stream: bool
    status: int
    """HTTP status the caller got (200 for a stream that broke later; 499 if it left first)."""
    result: str
    """`ok`, `caller_gone`, `broken`, `shutdown`, or the error code the caller was told."""
    upstream: str | None
    """Who answered."""
    upstream_model: str | None
    usage: Usage
    nano_usd: int
    attempts: tuple[Attempt, ...]
    started_us: int
    """Wall time of arrival, Unix microseconds."""
    first_ms: int | None
    total_ms: int
    error: ErrorType | None = None
    """What `result` comes to in few words; None: it ended well. Only for observers, like what follows."""
    fallback: bool = False
    """Whether another than the first target in order answered."""
    added_s: float | None = None
    """What the caller waited for the first content beyond what the upstream that gave it took, seconds."""
    spent: bool = False
    """Whether an upstream did some work for it, or may have: it is committed, and its key stays used."""
