"""An `allOf` of one schema, which is how many programs give a reference a description, is that one.

Both dialects whose vendors take a part of JSON Schema only look through it before they say no to `allOf`.
"""

from typing import Any

_SAID = frozenset({"default", "description", "title"})
"""Words that say something of a schema and ask nothing of an answer: the outer ones are nearer."""


def flat(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without an `allOf` that combines nothing; itself where there is none, or both ask the same."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return schema
    rest = {word: value for word, value in schema.items() if word != "allOf"}
    return schema if parts[0].keys() & rest.keys() - _SAID else {**parts[0], **rest}
