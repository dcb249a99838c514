"""What an OpenAI-shaped error body says, whichever of its many shapes it has.

`errors.py` judges the result. The error may be an object, a string or a list, sit under `error`,
`detail` or `message`, or be no JSON at all; reading it never fails and never trusts it.
"""

from typing import Any

import orjson
from msgspec import Struct

from proxy.wire.words import path, word


class Complaint(Struct, frozen=True):
    """An upstream's error, flattened. Empty where it said nothing."""

    message: str = ""
    """As it came: whoever shows it scrubs it."""
    type: str = ""
    """A word, like `code`, or nothing (`words.word`)."""
    code: str = ""
    param: str | None = None
    """The place of a member, or nothing (`words.path`)."""


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
    return Complaint(
        message=_text(said.get("message") or said.get("detail")),
        type=word(said.get("type")),
        code=word(said.get("code")),
        param=path(said.get("param")),
    )


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
