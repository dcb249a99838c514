"""The JSON schema that a caller wants an answer to keep to, and whether a whole answer does.

`judgement.py` reads it from a call whose route has answers validated, before anything is held; the story asks
it about each whole answer before any of it goes out. A schema comes from a caller and means no good until
it is shown to: nothing is ever fetched for it, patterns take linear time, and what would be too much work is
not begun (`effort.py`). Neither schema nor answer is in anything that it says.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import unquote

import orjson
from msgspec import Struct

from proxy.errors import CallerFault, bad_request
from proxy.wire.effort import Effort, TooMuch
from proxy.wire.tolerant import loads

VALIDATING = "proxy.wire.validating"
"""Read when first asked for: most proxies never are, and its package is large."""
PLACE = "response_format.json_schema.schema"
SCHEMA_BYTES = 64 * 1024
PATTERNS = 100
PLACE_DIGITS = 6
"""At most, for a place in a list that a reference leads to."""
PATTERN_BYTES = 100_000
"""Of memory, for one pattern that is made ready."""
STEPS_MAX = 500_000
"""For one choice of an answer. A step is about 0.1 µs: under a tenth of a second at the worst that was found,
finding the bound included. The figures are in decision 27."""

_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONES = ("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames")
_REFUSED = frozenset(
    {
        *("$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor"),
        *("unevaluatedProperties", "unevaluatedItems", "dependencies", "additionalItems"),
    }
)
"""Keywords by which a schema leads elsewhere, or whose work cannot be told beforehand."""


class Schema(Struct, frozen=True):
    """What an answer must be."""

    _root: dict[str, Any]
    _references: Mapping[int, Any]
    _is_valid: Callable[[Any], bool]

    def fault(self, body: bytes) -> str | None:
        """What is wrong with a whole answer, in words without any of it; None: it keeps to the schema.

        Each choice must, but one that calls tools, was refused or filtered: that is no answer in this form.
        """
        for choice in loads(body)["choices"]:
            message = choice["message"]
            if message.get("tool_calls") or message.get("function_call") or message.get("refusal"):
                continue
            if choice.get("finish_reason") == "content_filter":
                continue
            fault = self._fault(message.get("content"))
            if fault is not None:
                return fault
        return None

    def _fault(self, content: Any) -> str | None:
        if not isinstance(content, str):
            return "no text"
        try:
            value = orjson.loads(content)
        except ValueError:
            return "not JSON"
        try:
            Effort(self._references, STEPS_MAX).of(self._root, value)
            valid = self._is_valid(value)
        except (TooMuch, ValueError):  # the latter where it is nested too deeply
            return "too much to validate"
        return None if valid else "not as the schema has it"


def schema_of(body: Mapping[str, Any]) -> Schema | None:
    """The schema that a call asks for; None: it asks for none. Raises `CallerFault` if it cannot be used."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    form = wanted.get("json_schema")
    root = form.get("schema") if isinstance(form, dict) else None
    if not isinstance(root, dict):
        return None
    if len(orjson.dumps(root)) > SCHEMA_BYTES:
        raise _unusable(f"is larger than {SCHEMA_BYTES} bytes")
    references = _surveyed(root)
    try:
        is_valid: Callable[[Any], bool] = import_module(VALIDATING).validator_of(root, PATTERN_BYTES)
    except ValueError:
        raise _unusable("is not a JSON Schema of draft 2020-12, or has a pattern that is not taken") from None
    return Schema(root, references, is_valid)


def _surveyed(root: dict[str, Any]) -> dict[int, Any]:
    """What every reference means, by the schema that has it. Raises where a schema leads too far."""
    references: dict[int, Any] = {}
    known: set[int] = set()
    patterns = 0
    left: list[Any] = [root]
    while left:
        schema = left.pop()
        if not isinstance(schema, dict):
            continue
        known.add(id(schema))
        for name in _REFUSED & schema.keys():
            raise _unusable(f"has '{name}', which is not taken here")
        if "$ref" in schema:
            references[id(schema)] = _target(root, schema["$ref"])
        patterns += "pattern" in schema
        patterns += len(schema["patternProperties"]) if _is_map(schema, "patternProperties") else 0
        left += _subschemas(schema)
    if patterns > PATTERNS:
        raise _unusable(f"has more than {PATTERNS} patterns")
    if any(id(target) not in known for target in references.values() if not isinstance(target, bool)):
        raise _unusable("has a '$ref' that leads to no schema")
    return references


def _subschemas(schema: dict[str, Any]) -> Iterator[Any]:
    """What is directly within a schema. One that is malformed is told so by whoever makes it ready."""
    for name in _MAPS:
        if _is_map(schema, name):
            yield from schema[name].values()
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            yield from schema[name]
    for name in _ONES:
        if name in schema:
            yield schema[name]


def _is_map(schema: dict[str, Any], name: str) -> bool:
    return isinstance(schema.get(name), dict)


def _target(root: dict[str, Any], reference: Any) -> Any:
    """What a reference means, which must be within the schema: a JSON pointer behind `#`."""
    if not isinstance(reference, str) or (reference != "#" and not reference.startswith("#/")):
        raise _unusable("has a '$ref' that leads out of it: only '#/…' is taken")
    found: Any = root
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and _is_place(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            raise _unusable("has a '$ref' that leads nowhere")
    return found


def _is_place(name: str) -> bool:
    """In a list. One with thousands of digits is more than `int` takes, and is no place in any schema."""
    return name.isascii() and name.isdecimal() and len(name) <= PLACE_DIGITS


def _unusable(why: str) -> CallerFault:
    message = f"Answers of this model are held to the schema in 'response_format', which {why}."
    return bad_request(message, param=PLACE, code="invalid_schema")
