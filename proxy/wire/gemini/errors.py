"""What a refusal of Google's means.

The dialect calls `judge` for answers that are not successes; replies and readers call `inband` for
an error inside a success. Google tells more in its `details` than in its status: a bad key is a 400,
the wait stands in the body, and the name of a quota says whether a minute or a day is spent. All of
it is said again in OpenAI's words, which `proxy.wire.errors` weighs; what is not Google's, such as the
error of a gateway, goes there as it is.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from proxy.call import Kind, Phase, Signal
from proxy.wire.complaints import flatten
from proxy.wire.errors import weigh
from proxy.wire.retry_after import duration
from proxy.wire.tolerant import loads
from proxy.wire.words import word as to_show

_BAD_KEY = "invalid_api_key"
_NO_CREDIT = "insufficient_quota"
_FAILING = "server_error"
_TOO_FAST = "rate_limit_exceeded"

_REASONS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "ACCESS_TOKEN_EXPIRED",
            "API_KEY_EXPIRED",
            "API_KEY_HTTP_REFERRER_BLOCKED",
            "API_KEY_INVALID",
            "API_KEY_IP_ADDRESS_BLOCKED",
            "API_KEY_SERVICE_BLOCKED",
            "CONSUMER_INVALID",
            "CONSUMER_SUSPENDED",
            "SERVICE_DISABLED",
        ),
        _BAD_KEY,
    ),
    "BILLING_DISABLED": _NO_CREDIT,
}
"""By `ErrorInfo.reason`."""
_STATUSES: Mapping[str, str] = {
    **dict.fromkeys(("FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED"), _BAD_KEY),
    **dict.fromkeys(
        ("ABORTED", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNKNOWN"),
        _FAILING,
    ),
    "NOT_FOUND": "model_not_found",
    "RESOURCE_EXHAUSTED": _TOO_FAST,
}
"""By `status`. A failed precondition is the account's region, or that it does not pay."""
_MESSAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\s*api key (?:not valid|not found|expired)"), _BAD_KEY),
    (
        re.compile(
            r"(?i)\s*your (?:prepayment credits|project has exceeded its (?:monthly )?spend)"
            r"|[^.]{0,120}please enable billing"
        ),
        _NO_CREDIT,
    ),
    (
        re.compile(r"(?is)[^\"]{0,200}?token count(?: \(\d+\))? exceeds the maximum"),
        "context_length_exceeded",
    ),
)
_CANNOT = re.compile(
    r"(?is).{0,300}?(?:thought[ _]?signature"
    r"|is not (?:enabled|supported) (?:for|by|in) (?:this |the )?(?:current )?model|unsupported mime type"
    r"|is unsupported|only one candidate|only works in thinking mode|unknown name \"|GenerateContentRequest"
    r"|function (?:call|response) turn|too many states|exceeds the maximum allowed nesting depth)"
)
"""The model, or our request for it, and not what the caller asked: another upstream may serve it."""
_SPENT = re.compile(r"PerDay|PerMonth", re.IGNORECASE)


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Signal:
    """An answer that is not a success, or a success that is no answer."""
    try:
        said = loads(body)
    except ValueError:
        said = None
    return _weigh(status, headers, said)


def inband(said: Any, phase: Phase) -> Signal:
    """An error inside a success."""
    error = _error(said)
    code = error.get("code")
    status = code if type(code) is int and 400 <= code < 600 else 200
    return replace(_weigh(status, {}, said), phase=phase)


def is_error(said: Any) -> bool:
    """Whether parsed JSON is an error and not an answer."""
    said = _only(said)
    return isinstance(said, dict) and bool(said.get("error"))


def _weigh(status: int, headers: Mapping[str, str], said: Any) -> Signal:
    error = _error(said)
    complaint = flatten(_only(said))
    word = error.get("status")
    word = word if isinstance(word, str) else ""
    code = _code(error, word, complaint.message)
    signal = weigh(status, headers, replace(complaint, code=code or complaint.code))
    if signal.kind in {Kind.BAD_REQUEST, Kind.UNABLE} and _CANNOT.match(complaint.message):
        signal = replace(signal, kind=Kind.UNABLE, told=None)
    if signal.retry_after_s is None and signal.kind in {Kind.RATE_LIMITED, Kind.OVERLOADED}:
        signal = replace(signal, retry_after_s=_delay(error))
    shown = to_show(word)
    return replace(signal, detail=f"{status} {shown}") if shown else signal


def _code(error: dict[str, Any], word: str, message: str) -> str:
    """The error in OpenAI's word; empty where the HTTP status says it all."""
    for detail in _details(error, "ErrorInfo"):
        if detail.get("reason") in tuple(_REASONS):
            return _REASONS[detail["reason"]]
    for pattern, code in _MESSAGES:
        if pattern.match(message):
            return code
    code = _STATUSES.get(word, "")
    return _NO_CREDIT if code == _TOO_FAST and _is_spent(error) else code


def _is_spent(error: dict[str, Any]) -> bool:
    """Whether waiting for a minute will not help: a day's quota, or one of nothing at all."""
    listed = [detail.get("violations") for detail in _details(error, "QuotaFailure")]
    violations = [
        violation
        for some in listed
        for violation in (some if isinstance(some, list) else ())
        if isinstance(violation, dict)
    ]
    if any(
        _SPENT.search(str(violation.get("quotaId"))) or str(violation.get("quotaValue")) == "0"
        for violation in violations
    ):
        return True
    return bool(violations) and _delay(error) is None


def _delay(error: dict[str, Any]) -> float | None:
    """The wait of a `RetryInfo`, as a text or in the form of its protobuf."""
    for detail in _details(error, "RetryInfo"):
        delay = detail.get("retryDelay")
        if isinstance(delay, str):
            return duration(delay)
        if isinstance(delay, dict):
            seconds, nanos = delay.get("seconds", 0), delay.get("nanos", 0)
            return duration(f"{seconds}s{nanos}ns")
    return None


def _details(error: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith(f".{kind}"):
            yield detail


def _only(said: Any) -> Any:
    """Errors come alone in a list, too."""
    return said[0] if isinstance(said, list) and len(said) == 1 else said


def _error(said: Any) -> dict[str, Any]:
    said = _only(said)
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) else {}
