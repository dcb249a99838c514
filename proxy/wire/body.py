"""The caller's request body: bytes in, a dict that may be trusted out.

`server/calls.py` calls `parse` once per call; whatever goes upstream is rebuilt from its result, so what we
judge is what the upstream sees. Everything wrong with a body is a `CallerFault`; nothing a caller
can send may raise anything else, and no message repeats what the caller wrote.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from msgspec import Struct

from proxy.errors import CallerFault, bad_request

MAX_DEPTH = 64
MAX_MEMBERS = 200_000
"""Object members and list items together. Long conversations have some thousands."""
MAX_OUTPUT_TOKENS = 10_000_000
MAX_CHOICES = 128
MAX_MODEL_CHARS = 256
MAX_ID_CHARS = 512

_TWO_POW_63 = 2.0**63
_LONGEST_INTEGER = 20
"""Characters of the longest 64-bit integer, its sign included."""
LOWEST, HIGHEST = -(2**63), 2**64 - 1
"""What an integer in a body may be; nothing else can be written for an upstream."""


class IntegerTooBig(CallerFault):
    """An integer of more than 64 bits, in an object that is well in all else."""


def parse(data: bytes) -> dict[str, Any]:
    """The body of a chat-completion request, decoded and checked."""
    body = decode(data)
    check(body)
    return body


def decode(data: bytes) -> dict[str, Any]:
    """Any JSON object in UTF-8, within the limits of depth, size of numbers and count of members."""
    if len(data) > MAX_MEMBERS and data.count(b"[") + data.count(b"{") > MAX_MEMBERS:
        raise _too_many()
    try:
        body = orjson.loads(data)
    except ValueError as error:
        raise _not_json(data) from error
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.", code="invalid_json")
    if _has_vast_number(body):
        _refuse_big_integers(data)
    return body


def _not_json(data: bytes) -> CallerFault:
    if data.startswith(b"\xef\xbb\xbf"):
        return bad_request("The request body must not begin with a byte order mark.", code="invalid_json")
    try:
        data.decode()
    except UnicodeDecodeError:
        return bad_request("The request body must be UTF-8.", code="invalid_json")
    return bad_request("The request body is not valid JSON.", code="invalid_json")


def _too_many() -> CallerFault:
    return bad_request(f"The request body has more than {MAX_MEMBERS} members.", code="body_too_complex")


def _has_vast_number(body: dict[str, Any]) -> bool:
    """Walk everything once, level by level; whether a float may have been too big an integer."""
    vast = False
    members = len(body)
    level: Iterable[Any] = body.values()
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        deeper = False
        for value in level:
            kind = type(value)
            if kind is str:
                continue
            if kind is dict or kind is list:
                deeper = True
                members += len(value)
                if members > MAX_MEMBERS:
                    raise _too_many()
                below += value.values() if kind is dict else value
            elif kind is float and not -_TWO_POW_63 < value < _TWO_POW_63:
                vast = True
        if not deeper:
            return vast
        level = below
    raise bad_request(f"The request body is nested deeper than {MAX_DEPTH} levels.", code="body_too_deep")


def _refuse_big_integers(data: bytes) -> None:
    """The fast parser turns integers over 64 bits into floats; the slow one shows them as written."""
    json.loads(data, parse_int=_integer)


def _integer(text: str) -> int:
    value = int(text) if len(text) <= _LONGEST_INTEGER else HIGHEST + 1
    if not LOWEST <= value <= HIGHEST:
        fault = bad_request("The request body holds an integer of more than 64 bits.", code="integer_too_big")
        raise IntegerTooBig(fault.told)
    return value


class Amiss(Struct, frozen=True):
    """What is wrong with a member, in words that repeat nothing of it."""

    wanted: str
    """What it takes, such as `an integer`."""
    of_type: bool = True
    """Whether the value is of a wrong type; otherwise it is out of range."""


def check(body: dict[str, Any]) -> None:
    """What the proxy itself relies on; everything else is the upstream's to judge."""
    model, messages = body.get("model"), body.get("messages")
    if type(model) is not str or not 0 < len(model) <= MAX_MODEL_CHARS:
        raise _no_model(model)
    if type(messages) is not list or not messages:
        raise _no_messages(messages)
    for number, message in enumerate(messages):
        if type(message) is not dict:
            raise _wrong_type(f"messages[{number}]", "an object")
        if type(message.get("role")) is not str:
            raise _wrong_type(f"messages[{number}].role", "a string")
    for name, rule in _RULES.items():
        if name in body and body[name] is not None and (wrong := rule(body[name])) is not None:
            raise _refusal(name, wrong)
    options = body.get("stream_options")
    if options and (wrong := _boolean(options.get("include_usage", False))) is not None:
        raise _refusal("stream_options.include_usage", wrong)


def amiss(name: str, value: Any) -> Amiss | None:
    """What is wrong with the value of one member; None: nothing, or it is not ours to judge.

    For whoever writes members into a body in the caller's stead.
    """
    rule = _RULES.get(name)
    return None if rule is None or value is None else rule(value)


def _no_model(given: Any) -> CallerFault:
    if given is None:
        return bad_request(
            "you must provide a model parameter", param="model", code="missing_required_parameter"
        )
    if not isinstance(given, str):
        return _wrong_type("model", "a string")
    return _out_of_range("model", f"a name of 1 to {MAX_MODEL_CHARS} characters")


def _no_messages(given: Any) -> CallerFault:
    if given is None:
        return bad_request(
            "Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter"
        )
    if not isinstance(given, list):
        return _wrong_type("messages", "a list of objects")
    return bad_request("'messages' must not be empty.", param="messages", code="empty_array")


def _refusal(param: str, wrong: Amiss) -> CallerFault:
    return (_wrong_type if wrong.of_type else _out_of_range)(param, wrong.wanted)


def _wrong_type(param: str, wanted: str) -> CallerFault:
    return bad_request(f"Invalid type for '{param}': expected {wanted}.", param=param, code="invalid_type")


def _out_of_range(param: str, wanted: str) -> CallerFault:
    return bad_request(f"Invalid value for '{param}': expected {wanted}.", param=param, code="invalid_value")


_Rule = Callable[[Any], Amiss | None]


def _boolean(value: Any) -> Amiss | None:
    return None if value is None or isinstance(value, bool) else Amiss("a boolean")


def _mapping(value: Any) -> Amiss | None:
    return None if isinstance(value, dict) else Amiss("an object")


def _objects(value: Any) -> Amiss | None:
    sound = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return None if sound else Amiss("a list of objects")


def _identifier(value: Any) -> Amiss | None:
    if not isinstance(value, str):
        return Amiss("a string")
    return Amiss(f"at most {MAX_ID_CHARS} characters", of_type=False) if len(value) > MAX_ID_CHARS else None


def _between(low: int, high: int) -> _Rule:
    def rule(value: Any) -> Amiss | None:
        if type(value) is not int:
            return Amiss("an integer")
        return None if low <= value <= high else Amiss(f"an integer from {low} to {high}", of_type=False)

    return rule


_RULES: Mapping[str, _Rule] = {
    "stream": _boolean,
    "stream_options": _mapping,
    "n": _between(1, MAX_CHOICES),
    # Not 0: some servers take it for no maximum at all.
    "max_tokens": _between(1, MAX_OUTPUT_TOKENS),
    "max_completion_tokens": _between(1, MAX_OUTPUT_TOKENS),
    "user": _identifier,
    "safety_identifier": _identifier,
    "tools": _objects,
    "functions": _objects,
}
JUDGED = frozenset(_RULES)
"""Members that `amiss` knows."""


def called(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the tool calls in the history of a parsed call."""
    ids: list[str] = []
    for message in body["messages"]:
        if "tool_calls" in message and type(calls := message["tool_calls"]) is list:
            ids += [call["id"] for call in calls if type(call) is dict and type(call.get("id")) is str]
    return tuple(ids)
