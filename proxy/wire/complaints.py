"""What an OpenAI-shaped error body says, whichever of its many shapes it has.

`errors.py` judges the result. The error may be an object, a string or a list, sit under `error`,
`detail` or `message`, or be no JSON at all; reading it never fails and never trusts it.
"""

import re
from typing import Any

import orjson
from msgspec import Struct

MOST_CHARS = 2048
"""Of a message shown to a caller."""

_SECRET = re.compile(
    r"(?i)bearer\s+\S+|\b(?:sk|pk|rk|ft|gsk|xai)-[\w*.-]{4,}|\bAIza[\w-]{8,}|\b(?:org|proj)[-_]\w{8,}"
)
_WORD = re.compile(r"[\w .:-]{1,64}", re.ASCII)


class Complaint(Struct, frozen=True):
    """An upstream's error, flattened. Empty where it said nothing."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None


def read(body: bytes) -> Complaint:
    """The complaint in an error body; an empty one if it is not JSON."""
    try:
        return flatten(orjson.loads(body))
    except ValueError:
        return Complaint()


def flatten(said: Any) -> Complaint:
    """The complaint in parsed JSON."""
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not isinstance(said, dict):
        return Complaint(message=_text(said))
    error = said.get("error")
    if isinstance(error, dict):
        said = error
    elif error:
        said = {"message": error}
    param = said.get("param")
    return Complaint(
        message=_text(said.get("message") or said.get("detail")),
        type=_word(said.get("type")),
        code=_word(said.get("code")),
        param=param[:256] if isinstance(param, str) else None,
    )


def scrub(message: str) -> str:
    """`message` without anything that looks like a credential, cut to a decent length."""
    shown = _SECRET.sub("[removed]", message[: 2 * MOST_CHARS])
    return shown if len(shown) <= MOST_CHARS else shown[: MOST_CHARS - 1] + "…"


def _text(value: Any, depth: int = 4) -> str:
    """One sentence out of a string, an object that holds one, or a list of validation errors."""
    if isinstance(value, str):
        return value
    if depth == 0:
        return ""
    if isinstance(value, dict):
        return (
            _validation(value)
            if "msg" in value
            else _text(value.get("message") or value.get("detail"), depth - 1)
        )
    if isinstance(value, list):
        return "; ".join(filter(None, (_text(item, depth - 1) for item in value[:8])))
    return ""


def _validation(item: dict[str, Any]) -> str:
    """`loc: msg` of a validation error; never its `input`, which is the caller's own text."""
    place = item.get("loc")
    path = ".".join(str(step) for step in place) if isinstance(place, list) else ""
    return f"{path}: {item['msg']}" if path else str(item["msg"])


def _word(value: Any) -> str:
    """A code or type as a short plain word; anything else is dropped, for it goes to the log."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
