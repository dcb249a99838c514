"""`idempotency-key`: how a request says it, and what the question behind it is.

`calls.py` reads the header here, `twins.py` and the ledger compare what comes of it (`proxy/question.py`).
The question is the parsed body and those headers that can change the answer.
"""

import hashlib
import re

import orjson

from proxy.call import Call
from proxy.errors import bad_request
from proxy.question import HEADER, Question
from proxy.server.request import Request

KEY = re.compile(r"[ -~]{1,255}")
"""Printable ASCII; what a caller's library makes of it is the caller's own."""


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

    How long a caller will wait does not change what is answered, so a retry may be more patient. The digest
    of what was asked is in the ledger for a day: only with the key, which is not, can a guess be tried on it.
    """
    name = orjson.dumps([call.identity.tenant, key])
    asked = orjson.dumps([key, call.body, call.preferred, call.consent], option=orjson.OPT_SORT_KEYS)
    return Question(hashlib.sha256(name).digest(), hashlib.sha256(asked).digest())
