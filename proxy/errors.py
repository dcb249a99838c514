"""Failures, named by their consequence for the caller.

Every room raises one of these near the fact; exactly one door (`server/door.py`) turns them into an
HTTP answer, and `relay.py` into an in-band event once a stream has begun. Nothing here knows HTTP
libraries, dialects or vendors, and no message may hold a secret, a prompt or an answer.

    Failure
    ├── CallerFault      the request itself is wrong: 4xx, never retried, never trips a breaker
    ├── Refused          we will not serve it now: key, policy, quota, overload, drain, ledger down
    ├── AllFailed        every target was tried or skipped and none answered: 429, 502, 503, 504
    ├── Broken           an answer broke after its first content had left (in-band only)
    └── OurFault         a defect of ours: 500, the caller sees an id and nothing else
"""

from enum import StrEnum

from msgspec import Struct


class Told(Struct, frozen=True):
    """What the caller is told: OpenAI's error members plus the transport hints its SDKs obey."""

    status: int
    """HTTP status, 400 to 599."""
    message: str
    """One human sentence; safe to show."""
    type: str
    """OpenAI's error family, such as `invalid_request_error` or `server_error`."""
    code: str | None = None
    """The stable word that programs branch on."""
    param: str | None = None
    """Path of the request member at fault, if one is."""
    retry_after_s: float | None = None
    """Seconds after which the same call may succeed; rendered as `retry-after` and `retry-after-ms`."""
    should_retry: bool | None = None
    """Rendered as `x-should-retry`; None leaves the SDK's own rule in force (only for plain 4xx)."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further response headers, such as `x-ratelimit-*` of a limit that refused."""


class Failure(Exception):
    """Anything that ends a call without a whole answer. `told` is all that leaves the house."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.message)
        self.told = told


class ErrorType(StrEnum):
    """How a call failed, in the few words that metrics and traces have for it; nobody outside can add one."""

    CALLER_FAULT = "caller_fault"
    """The request itself is wrong."""
    CALLER_GONE = "caller_gone"
    LIMIT = "limit"
    """A limit of the caller's is spent."""
    POLICY = "policy"
    """Key, consent or a question that was asked before: not to be answered."""
    UPSTREAM_RATE_LIMIT = "upstream_rate_limit"
    """No target would take it just now, and each because of its rate limit."""
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    """No target would take it just now."""
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_ERROR = "upstream_error"
    """Every target failed."""
    UPSTREAM_BROKEN = "upstream_broken"
    """The answer stopped short in the caller's hands."""
    PROXY_UNAVAILABLE = "proxy_unavailable"
    """We could not take it: the ledger, the drain, too many calls."""
    SHUTDOWN = "shutdown"
    """Cut off by the end of the process."""
    INTERNAL = "internal_error"
    """A defect of ours."""


class CallerFault(Failure):
    """The caller must change the request."""


class Refused(Failure):
    """The proxy itself declines: the request may be right, but not now or not for this key."""


class AllFailed(Failure):
    """No target could answer."""


class Broken(Failure):
    """The answer broke after content had been sent; carried as an error event, never a `[DONE]`."""


class OurFault(Failure):
    """A defect of the proxy; details stay in the log under the request id."""


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> CallerFault:
    """400: the request cannot be served as it stands."""
    return CallerFault(Told(400, message, "invalid_request_error", code, param))


def unauthorized(message: str) -> Refused:
    """401: no key, or one that is unknown or revoked."""
    return Refused(Told(401, message, "invalid_request_error", "invalid_api_key", should_retry=False))


def no_such_model(model: str) -> CallerFault:
    """404: no route matches the model that the caller asked for."""
    shown = model if len(model) <= 128 else model[:128] + "…"
    message = f"The model '{shown}' does not exist or you do not have access to it."
    return CallerFault(Told(404, message, "invalid_request_error", "model_not_found", "model"))


def unavailable(message: str, code: str, *, retry_after_s: float | None = None) -> Refused:
    """503: the proxy cannot take the call now (draining, ledger down, overloaded). Nothing was spent."""
    retry = retry_after_s is not None and retry_after_s <= 120
    return Refused(Told(503, message, "server_error", code, None, retry_after_s, retry))


def our_fault(request_id: str) -> OurFault:
    """500: something of ours broke; the id finds it in the log."""
    message = f"The proxy failed on this request. Quote {request_id} to its operator."
    return OurFault(Told(500, message, "server_error", "internal_error", should_retry=False))


def error_type(failure: Failure) -> ErrorType:
    """The one word for a failure: by its consequence first, then by its status."""
    status = failure.told.status
    match failure:
        case CallerFault():
            return ErrorType.CALLER_FAULT
        case Refused():
            return {429: ErrorType.LIMIT, 503: ErrorType.PROXY_UNAVAILABLE}.get(status, ErrorType.POLICY)
        case AllFailed():
            known = {
                429: ErrorType.UPSTREAM_RATE_LIMIT,
                503: ErrorType.UPSTREAM_UNAVAILABLE,
                504: ErrorType.UPSTREAM_TIMEOUT,
            }
            return known.get(status, ErrorType.UPSTREAM_ERROR)
        case Broken():
            return ErrorType.UPSTREAM_BROKEN
        case _:
            return ErrorType.INTERNAL
