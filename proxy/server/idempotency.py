"""`idempotency-key`: what a caller says with it, and what may be answered to it besides an answer.

`calls.py` reads the header here, `twins.py` compares what it finds. A key belongs to a tenant and stands
for one question: the parsed body and those headers that can change the answer. Neither key nor question
is held anywhere as it came, only their digests.
"""

import hashlib
import re
from dataclasses import dataclass

import orjson

from proxy.call import Call
from proxy.errors import CallerFault, Refused, Told, bad_request
from proxy.server.request import Request

HEADER = "idempotency-key"
KEY = re.compile(r"[ -~]{1,255}")
"""Printable ASCII; what a caller's library makes of it is the caller's own."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a key was used for."""

    name: bytes
    """Digest of the tenant and the key."""
    digest: bytes
    """Of what was asked."""


def key_of(request: Request) -> str | None:
    """The key that a request carries, in one way only. Raises 400."""
    given = request.headers.all(HEADER)
    if not given:
        return None
    if len(given) > 1 or KEY.fullmatch(given[0]) is None:
        message = f"{HEADER} must be 1 to 255 printable ASCII characters, once."
        raise bad_request(message, code="bad_header")
    return given[0]


def question(call: Call, key: str) -> Question:
    """The question behind `key`. Members may come in any order and be spaced in any way.

    How long a caller will wait does not change what is answered, so a retry may be more patient.
    """
    name = orjson.dumps([call.identity.tenant, key])
    asked = orjson.dumps([call.body, call.preferred, call.consent], option=orjson.OPT_SORT_KEYS)
    return Question(hashlib.sha256(name).digest(), hashlib.sha256(asked).digest())


def reused() -> CallerFault:
    """422: the key stands for another question."""
    message = f"This {HEADER} was used for another request. Use a new one for each."
    told = Told(422, message, "invalid_request_error", "idempotency_key_reused", HEADER, should_retry=False)
    return CallerFault(told)


def conflict() -> Refused:
    """409: the key was used, and what came of it cannot be said again."""
    message = (
        f"A call with this {HEADER} was made and may have been paid for, but its answer is not at hand. "
        "To have it made again, use a new one."
    )
    told = Told(409, message, "invalid_request_error", "idempotency_conflict", HEADER, should_retry=False)
    return Refused(told)
