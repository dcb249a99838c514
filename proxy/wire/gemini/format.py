"""The form that the answer must have: Gemini's constrained JSON, or a line that asks for it.

`generation.py` calls `answer_format`. A model that can be held to a schema is. One that cannot be, or
not beside tools, is asked in the system instruction, if the route allows that: it is a request to the
model and no promise, so the caller is told.
"""

from collections.abc import Mapping
from typing import Any

from proxy.abilities import ModelFacts
from proxy.wire.gemini.media import Part
from proxy.wire.gemini.schema import fit
from proxy.wire.in_words import JSON_ONLY, by_schema
from proxy.wire.leeway import Leeway
from proxy.wire.unable import Unable

_JSON = "application/json"


def answer_format(
    body: Mapping[str, Any], facts: ModelFacts, leeway: Leeway
) -> tuple[dict[str, Any], list[Part]]:
    """The settings for a `response_format`, and what must be asked of the model instead of set."""
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return {}, []
    if kind not in ("json_object", "json_schema"):
        leeway.lose("response_format", "This 'response_format' is not known here.")
        return {}, []
    schema = _schema(wanted) if kind == "json_schema" else None
    if body.get("tools") and facts.schemas_with_tools is False:
        reason = "This model takes no 'response_format' beside 'tools'."
        leeway.lose("response_format", reason)
        return {}, _request(schema)
    if schema is None:
        return {"responseMimeType": _JSON}, []
    if facts.schemas is False:
        leeway.lose("response_format", "This model cannot be held to a schema.")
        return {"responseMimeType": _JSON}, _request(schema)
    lost: list[str] = []
    fitted = fit(schema, lost)
    if lost:
        leeway.note("response_format")
    return {"responseMimeType": _JSON, "responseJsonSchema": fitted}, []


def _schema(wanted: Mapping[str, Any]) -> dict[str, Any]:
    described = wanted.get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        place = "response_format.json_schema.schema"
        raise Unable(place, f"'{place}' must be an object.", "invalid_type")
    return schema


def _request(schema: Mapping[str, Any] | None) -> list[Part]:
    """The same in words."""
    return [{"text": JSON_ONLY if schema is None else by_schema(schema)}]
