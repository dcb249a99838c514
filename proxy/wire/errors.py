"""What an OpenAI-shaped refusal means: an upstream's status, headers and body, as a `Signal`.

Dialects call `judge` for answers that are not successes and `inband` for an error inside a success.
Order: the code, the type, the message where nothing else tells, the status. The tables are data;
`tests/wire/test_errors.py` holds one row for every shape seen.

Messages about money, keys and models are matched only at their beginning: an upstream may echo the
caller's own text in a message, and that must not put the upstream on a long cool-down. What blames nobody
is looked for anywhere near the beginning: a prompt that is too long, what a model refuses because it is this
model (`UNABLE`), what a policy refuses. The last ends the call, and so comes last: where a model's refusal
echoes a caller who speaks of a policy, the next target is asked; where a policy's echoes a caller who speaks
of models, one target too many. No words make `UNABLE` of a status that says more (401, 402, 403, 404, 429 …):
who has no money, no key or no patience left is asked again when that has passed, whatever is said besides.
"""

import re
from collections.abc import Mapping

from proxy.call import Kind, Phase, Signal
from proxy.errors import Told
from proxy.wire.complaints import Complaint, read
from proxy.wire.retry_after import reset, wait
from proxy.wire.words import scrub

_CODES: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            "insufficient_quota",
            "insufficient_balance",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "enforced_spend_limit_reached",
            "contract_spend_limit_reached",
            "billing_hard_limit_reached",
            "billing_not_active",
        ),
        Kind.NO_CREDIT,
    ),
    **dict.fromkeys(("rate_limit_exceeded", "slow_down", "ramp_limit_exceeded", "1300"), Kind.RATE_LIMITED),
    **dict.fromkeys(
        (
            "invalid_api_key",
            "account_deactivated",
            "organization_on_hold",
            "cmek_key_disabled",
            "cmek_key_network_blocked",
            "unsupported_country_region_territory",
        ),
        Kind.BAD_KEY,
    ),
    **dict.fromkeys(("model_not_found", "DeploymentNotFound", "invalid_model", "1500"), Kind.NO_MODEL),
    **dict.fromkeys(("unsupported_parameter", "unsupported_value"), Kind.UNABLE),
    "context_length_exceeded": Kind.TOO_LONG,
    **dict.fromkeys(
        ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "invalid_prompt"),
        Kind.FILTERED,
    ),
    **dict.fromkeys(
        ("server_error", "internal_error", "engine_overloaded", "server_overloaded", "service_unavailable"),
        Kind.OVERLOADED,
    ),
}

_TYPES: Mapping[str, Kind] = {
    **dict.fromkeys(("insufficient_quota", "billing_error"), Kind.NO_CREDIT),
    **dict.fromkeys(("rate_limit_error", "requests", "tokens"), Kind.RATE_LIMITED),
    **dict.fromkeys(("authentication_error", "permission_error"), Kind.BAD_KEY),
    **dict.fromkeys(
        (
            "server_error",
            "api_error",
            "overloaded_error",
            "timeout_error",
            "service_unavailable_error",
            "InternalServerError",
            "ServiceUnavailableError",
        ),
        Kind.OVERLOADED,
    ),
    # An engine with a bound on its queue refuses so, within milliseconds; whatever stands before it does not.
    "Service Unavailable": Kind.SATURATED,
    "NotFoundError": Kind.NO_MODEL,
    "not_found_error": Kind.NO_MODEL,
    "BadRequestError": Kind.BAD_REQUEST,
    "UnprocessableEntityError": Kind.BAD_REQUEST,
}

_MESSAGES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (
        re.compile(
            r"(?i)\s*(?:your )?credit balance is too low|\s*insufficient balance"
            r"|\s*you exceeded your current quota|\s*you have reached your specified (?:workspace )?api usage"
        ),
        Kind.NO_CREDIT,
    ),
    (
        re.compile(
            r"(?i)\s*(?:incorrect|invalid) api key|\s*unauthorized\b|\s*this organization has been disabled"
        ),
        Kind.BAD_KEY,
    ),
    (
        re.compile(
            r"(?i)\s*(?:the )?model [`'\"]?[\w./:@-]{1,256}[`'\"]? "
            r"(?:does not exist|not found|is not available|has been (?:deprecated|retired|decommissioned))"
            r"|\s*invalid model\b|\s*model not exist\b"
        ),
        Kind.NO_MODEL,
    ),
    (
        re.compile(
            r"(?is).{0,500}?(?:maximum context length|context length is only|prompt is too long"
            r"|exceeded max context length|exceeds the (?:model's )?(?:maximum )?context"
            r"|exceed context limit|maximum model length)"
        ),
        Kind.TOO_LONG,
    ),
    (
        re.compile(
            r"(?is).{0,300}?(?:"
            # The model has no such thing, or no more.
            r"\b(?:is|are) (?:not (?:supported|enabled|available|allowed)|(?:un|only )supported|deprecated)"
            r" (?:for|by|in|on|with) (?:this |the |the current |certain )?models?\b"
            r"|\bmodel does not support\b|\bdoes not support (?:this|assistant|image)\b"
            r"|is not a multimodal model|response_format type is unavailable"
            # It takes less than other models do.
            r"|maximum allowed number of output tokens|supports at most \d+ completion tokens"
            r"|valid range of max_tokens|too complex for compilation"
            # Its server was not set up for it.
            r"|requires --[a-z]|default chat template|conversation roles must alternate"
            r"|\broles? (?:is |are )?not supported"
            # We said what it does not know, or forgot what it wants back.
            r"|extra inputs are not permitted|in the thinking mode must be passed back)"
        ),
        Kind.UNABLE,
    ),
    (
        re.compile(
            r"(?is).{0,500}?(?:content (?:management |filtering )?policy|violating our usage policy)"
            r"|\s*content exists risk\b"
        ),
        Kind.FILTERED,
    ),
)

_STATUSES: Mapping[int, Kind] = {
    401: Kind.BAD_KEY,
    402: Kind.NO_CREDIT,
    403: Kind.BAD_KEY,
    404: Kind.NO_MODEL,
    405: Kind.BAD_ANSWER,
    408: Kind.OVERLOADED,
    409: Kind.OVERLOADED,
    425: Kind.OVERLOADED,
    429: Kind.RATE_LIMITED,
}

_LIMITED = frozenset({429, 529})
"""Statuses of which rate-limit headers say when to come back; on others they only tell what is left."""

_CALLERS_OWN: Mapping[Kind, str | None] = {
    Kind.BAD_REQUEST: None,
    Kind.TOO_LONG: "context_length_exceeded",
    Kind.FILTERED: "content_filter",
    Kind.UNABLE: "unsupported_parameter",
}
"""Kinds that the caller is told of, with the code its programs look for."""

_WORDS_OF = frozenset({Kind.BAD_REQUEST, Kind.BAD_ANSWER})
"""What a type says only for want of anything better: the message may know more."""


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Signal:
    """An answer that is not a success, or a success that is no answer."""
    return weigh(status, headers, read(body))


def weigh(status: int, headers: Mapping[str, str], complaint: Complaint) -> Signal:
    """As `judge`, of a complaint that a dialect has read in its own way."""
    kind = _kind(status, complaint)
    pause = wait(headers)
    if pause is None and status in _LIMITED:
        pause = reset(headers)
    return _signal(kind, Phase.HEADERS, status, complaint, pause)


def inband(complaint: Complaint, phase: Phase) -> Signal:
    """An error inside a success: in a whole answer, or as an event of a stream."""
    status = int(complaint.code) if re.fullmatch(r"[45]\d\d", complaint.code) else 200
    kind = _kind(status, complaint)
    return _signal(kind, phase, status, complaint, None)


def _kind(status: int, complaint: Complaint) -> Kind:
    by_word = _CODES.get(complaint.code) or _TYPES.get(complaint.type)
    if by_word is not None and by_word not in _WORDS_OF:
        return by_word
    if status < 500:
        for pattern, kind in _MESSAGES:
            if pattern.match(complaint.message) and not (kind is Kind.UNABLE and status in _STATUSES):
                return kind
    return by_word or _by_status(status)


def _by_status(status: int) -> Kind:
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return Kind.OVERLOADED
    return Kind.BAD_REQUEST if status >= 400 else Kind.BAD_ANSWER


def _signal(kind: Kind, phase: Phase, status: int, complaint: Complaint, pause: float | None) -> Signal:
    word = complaint.type if complaint.code in {"", str(status)} else complaint.code
    told = _told(kind, status, complaint) if kind in _CALLERS_OWN else None
    return Signal(kind, phase, status, pause, told, f"{status} {word}".rstrip())


def _told(kind: Kind, status: int, complaint: Complaint) -> Told:
    """The upstream's error for the caller whose fault it is, in OpenAI's words."""
    code = _CALLERS_OWN[kind]
    known = _CODES.get(complaint.code) is kind or (code is None and complaint.code != str(status))
    if known and complaint.code not in {"", "invalid_request_error"}:
        code = complaint.code
    message = scrub(complaint.message) or f"The upstream refused the request with status {status}."
    shown = status if status in {400, 413, 415, 422} else 400
    return Told(shown, message, "invalid_request_error", code, complaint.param)
