"""JSON Schema in the words that Gemini's constrained answers know.

`generation.py` calls `fit` on the schema of a `response_format`. A constraint that Gemini has no
word for is told to the model in the description instead, and named, so that the caller hears of it.
"""

from typing import Any

from proxy.wire.flat_schema import SILENT, flat
from proxy.wire.tolerant import dumps

_PLAIN = frozenset(
    {
        "$anchor",
        "$id",
        "description",
        "enum",
        "format",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)
_ONE = frozenset({"additionalProperties", "items"})
_LISTS = frozenset({"anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"$defs", "definitions", "properties"})
_BESIDE = SILENT | {"$ref", "$defs", "definitions"}
"""Words that may stand beside a reference, or that nobody misses there."""


def fit(schema: Any, lost: list[str]) -> Any:
    """`schema` as Gemini takes it; the words that became mere descriptions are added to `lost`."""
    if not isinstance(schema, dict):
        return schema
    schema = flat(schema)
    told: list[str] = []
    if isinstance(schema.get("$ref"), str):
        if not schema.keys() - _BESIDE:
            return {"$ref": schema["$ref"].replace("#/definitions/", "#/$defs/")} | _definitions(schema, lost)
        if "anyOf" in schema:  # whose place the reference takes
            told.append(_in_words("anyOf", schema["anyOf"]))
            lost.append("anyOf")
        schema = {**schema, "anyOf": [{"$ref": schema["$ref"]}]}
        del schema["$ref"]
    elif _is_one(schema.get("allOf")) and "anyOf" not in schema:  # all of one are any of one
        schema = {**schema, "anyOf": schema["allOf"]}
        del schema["allOf"]
    out: dict[str, Any] = {}
    for word, value in schema.items():
        kept = _word(word, value, lost)
        if kept is not None:
            out[kept[0]] = kept[1]
        elif word not in SILENT:
            told.append(_in_words(word, value))
            lost.append(word)
    if told:
        out["description"] = f"{out.get('description') or ''} ({'; '.join(told)})".lstrip()
    return out


def _is_one(parts: Any) -> bool:
    return isinstance(parts, list) and len(parts) == 1


def _in_words(word: str, value: Any) -> str:
    return f"{word}: {dumps(value).decode()}"


def _word(word: str, value: Any, lost: list[str]) -> tuple[str, Any] | None:
    """One member of a schema in Gemini's words; None if there are none for it."""
    if word in _PLAIN:
        return word, value
    if word in _ONE:
        return word, fit(value, lost)
    if word in _LISTS and isinstance(value, list):
        return word, [fit(item, lost) for item in value]
    if word in _MAPS and isinstance(value, dict):
        return "$defs" if word == "definitions" else word, _fit_all(value, lost)
    return ("enum", [value]) if word == "const" else None


def _fit_all(schemas: dict[str, Any], lost: list[str]) -> dict[str, Any]:
    return {name: fit(schema, lost) for name, schema in schemas.items()}


def _definitions(schema: dict[str, Any], lost: list[str]) -> dict[str, Any]:
    """A reference may have no neighbours but definitions: with any others it is the one of an `anyOf`."""
    definitions = schema.get("$defs", schema.get("definitions"))
    return {"$defs": _fit_all(definitions, lost)} if isinstance(definitions, dict) else {}
