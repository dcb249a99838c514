"""JSON schemas in the part of the language that a constrained answer can be held to.

`tools.py` and `request.py` call `tighten`. What the upstream cannot enforce but the model can read
(bounds, lengths, other formats) moves into the description (`describe`); what would change the
meaning raises `Untightened`. The caller's schema is never changed.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from proxy.wire.flat_schema import flat

MOST_DEPTH = 32

_PLAIN = frozenset({"type", "title", "default", "$ref", "description"})
"""Keywords that pass as they are."""
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_MAPS = frozenset({"properties", "$defs", "definitions"})
_LISTS = frozenset({"anyOf", "allOf", "oneOf"})
_SILENT = frozenset({"$schema", "$id", "$comment", "additionalProperties", "strict", "examples"})
"""Keywords that say nothing about one answer, or that are said anew."""
_SCALARS = (str, int, float, bool, type(None))


_HARD_PATTERN = re.compile(r"\(\?|\\[bB1-9]")
"""Lookarounds, word boundaries and back references: no regular grammar has them."""


class Untightened(Exception):
    """The schema asks for what no constrained answer can give; the text names the keyword."""


class Load(Struct):
    """How much grammar a request asks for; the upstream compiles only so much."""

    strict_tools: int = 0
    optional: int = 0
    unions: int = 0

    @property
    def bearable(self) -> bool:
        return self.strict_tools <= 20 and self.optional <= 24 and self.unions <= 16


def tighten(schema: Any, load: Load) -> dict[str, Any]:
    """The schema as the upstream can enforce it; `load` is told what it weighs."""
    _refuse_recursion(schema)
    return _node(schema, load, MOST_DEPTH)


def describe(out: dict[str, Any], hints: dict[str, Any]) -> None:
    """Say to the model what cannot be enforced; `out` is changed."""
    said = ", ".join(f"{word}: {orjson.dumps(value).decode()}" for word, value in hints.items())
    before = out.get("description")
    out["description"] = f"{before}\n\n{{{said}}}" if isinstance(before, str) and before else f"{{{said}}}"


def _node(schema: Any, load: Load, depth: int) -> dict[str, Any]:
    if not isinstance(schema, dict) or depth == 0:
        raise Untightened("a schema that is no object, or too deep")
    out: dict[str, Any] = {}
    hints: dict[str, Any] = {}
    schema = flat(schema)
    for word, value in schema.items():
        if word in _MAPS:
            out[word] = _named(value, load, depth)
        elif word in _LISTS:
            out["anyOf" if word == "oneOf" else word] = _listed(word, value, load, depth)
        elif word == "items":
            out[word] = _node(value, load, depth - 1)
        elif _kept(word, value):
            out[word] = value
        elif word not in _SILENT:
            hints[word] = value
    _settle_object(schema, out, load)
    load.unions += isinstance(out.get("type"), list) or "anyOf" in out
    if hints:
        describe(out, hints)
    return out


def _kept(word: str, value: Any) -> bool:
    """Whether a keyword passes as it is; for some that depends on the value."""
    if word in _PLAIN:
        return True
    match word:
        case "enum":
            return isinstance(value, list) and all(isinstance(item, _SCALARS) for item in value)
        case "const":
            return isinstance(value, _SCALARS)
        case "required":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "format":
            return isinstance(value, str) and value in _FORMATS
        case "minItems":
            return value in (0, 1)
        case "pattern":
            return isinstance(value, str) and not _HARD_PATTERN.search(value)
    return False


def _named(schemas: Any, load: Load, depth: int) -> dict[str, Any]:
    if not isinstance(schemas, dict):
        raise Untightened("properties that are not an object")
    return {name: _node(schema, load, depth - 1) for name, schema in schemas.items()}


def _listed(word: str, schemas: Any, load: Load, depth: int) -> list[dict[str, Any]]:
    if not isinstance(schemas, list) or not schemas:
        raise Untightened(f"an empty {word}")
    if word == "allOf" and any(isinstance(schema, dict) and "$ref" in schema for schema in schemas):
        raise Untightened("a reference inside allOf")
    if word == "allOf" and any(isinstance(schema, dict) and _only_closes(schema) for schema in schemas):
        raise Untightened("additionalProperties alone inside allOf")
    return [_node(schema, load, depth - 1) for schema in schemas]


def _only_closes(schema: dict[str, Any]) -> bool:
    """Whether it forbids members of an object that it does not describe: `_settle_object` passes it by."""
    others = schema.get("additionalProperties", True)
    return others not in (True, {}) and schema.keys().isdisjoint({"type", "properties"})


def _settle_object(schema: dict[str, Any], out: dict[str, Any], load: Load) -> None:
    """An object says all its members: open ones and maps cannot be enforced."""
    kind = schema.get("type")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind) and "properties" not in schema:
        return
    others = schema.get("additionalProperties", not schema.get("properties"))
    if others is not False or "patternProperties" in schema:  # `{}` allows anything
        raise Untightened("an object of any members")
    out["additionalProperties"] = False
    required = out.get("required")
    load.optional += len(set(out.get("properties") or ()).difference(required or ()))


def _refuse_recursion(schema: Any) -> None:
    """Definitions that lead back to themselves have no finite grammar."""
    if not isinstance(schema, dict):
        return
    definitions: dict[str, Any] = {}
    for place in ("$defs", "definitions"):
        named = schema.get(place)
        if isinstance(named, dict):
            definitions.update({f"#/{place}/{name}": value for name, value in named.items()})
    leads = {name: _references(value) for name, value in definitions.items()}
    leads["#"] = _references(
        {key: value for key, value in schema.items() if key not in {"$defs", "definitions"}}
    )
    for reference in set().union(*leads.values()):
        if reference not in leads:
            raise Untightened("a reference out of the schema")
    if not _is_finite(leads):
        raise Untightened("a schema that contains itself")


def _is_finite(leads: Mapping[str, frozenset[str]]) -> bool:
    """Whether none leads back to itself: each is looked at once, when all that it leads to are done with."""
    led_from: dict[str, list[str]] = {}
    for name, targets in leads.items():
        for target in targets:
            led_from.setdefault(target, []).append(name)
    waits = {name: len(targets) for name, targets in leads.items()}
    done = [name for name, left in waits.items() if not left]
    for name in done:  # which grows meanwhile
        for other in led_from.get(name, ()):
            waits[other] -= 1
            if not waits[other]:
                done.append(other)
    return len(done) == len(leads)


def _references(schema: Any) -> frozenset[str]:
    """Every `$ref` inside, walked without recursion."""
    found: set[str] = set()
    open_: list[Any] = [schema]
    while open_:
        here = open_.pop()
        if isinstance(here, dict):
            target = here.get("$ref")
            if isinstance(target, str):
                found.add(target)
            open_.extend(here.values())
        elif isinstance(here, list):
            open_.extend(here)
    return frozenset(found)
