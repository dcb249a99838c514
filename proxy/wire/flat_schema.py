"""An `allOf` of one schema, which is how many programs give a reference a description, is that one.

Both dialects whose vendors take a part of JSON Schema only look through it before they say no to `allOf`.
"""

from typing import Any

SILENT = frozenset({"$comment", "$schema", "default", "deprecated", "examples", "readOnly", "writeOnly"})
"""Words that bind nobody."""
_SAID = SILENT | {"description", "title"}
"""Words that say something of a schema and ask nothing of an answer: the outer ones are nearer."""
_ASIDE = _SAID | {"$defs", "definitions"}
_MINDFUL = frozenset({"$ref", "additionalProperties", "items"})
"""Words that mean something else, or are not taken, beside words that stood in another schema."""


def flat(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without an `allOf` that combines nothing; itself where there is none, or it combines.

    It combines where both say one word, or where a word minds what it would come to stand beside.
    """
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return schema
    part, rest = parts[0], {word: value for word, value in schema.items() if word != "allOf"}
    if part.keys() & rest.keys() - _SAID:
        return schema
    asked = rest.keys() - _ASIDE
    return schema if asked and _MINDFUL & (part.keys() | asked) else {**part, **rest}
