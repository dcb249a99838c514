"""The grammar as JSON Schema, for editors that complete and check YAML.

`python -m proxy.config.schema > config/schema.json` writes the file that the first line of every
configuration points to; a test fails when the two drift apart. The schema is a help while writing:
`fallthrough check` alone decides what is right.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from proxy.config.grammar import File
from proxy.config.meanings import meanings
from proxy.config.settings import Address
from proxy.config.units import SQLITE
from proxy.facts.capabilities import KNOWN

_SHORT: Mapping[str, dict[str, Any]] = {
    "#/$defs/TargetPart": {"type": "string", "examples": ["openai/gpt-4o"]},
    "#/$defs/CapabilitiesPart": {"enum": sorted(KNOWN)},
}
"""Mappings that may be written as one word, and how the word looks."""


def schema() -> dict[str, Any]:
    """The schema of a whole file."""
    made = File.model_json_schema(schema_generator=_Generator)
    return {"$schema": GenerateJsonSchema.schema_dialect, **_tidy(made), "title": "Fallthrough"}


class _Generator(GenerateJsonSchema):
    """pydantic's schema with what every key means, and defaults as a file would hold them."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        for key, meaning in meanings(schema["cls"]).items():
            made["properties"][key]["description"] = meaning
        return made

    def encode_default(self, dft: Any) -> Any:
        return _written(dft)


def _written(default: Any) -> Any:
    """A default as one would write it, with its unit; None where there is nothing to write."""
    match default:
        case bool() | int() | str():
            return default
        case float():  # the grammar has no other number with a fraction than times
            return f"{default:g}s" if default >= 1 else f"{default * 1000:g}ms"
        case Address():
            return str(default)
        case Path():
            return f"{SQLITE}{default}"
        case list() if default:
            return default
        case _:
            return None


def _tidy(made: Any) -> Any:
    """Without titles that repeat the key and defaults that say nothing; with the short forms."""
    if isinstance(made, list):
        return [_tidy(item) for item in made]
    if not isinstance(made, dict):
        return made
    if made.get("$ref") in _SHORT:
        rest = {key: _tidy(item) for key, item in made.items() if key not in {"$ref", "default"}}
        return {"anyOf": [_SHORT[made["$ref"]], {"$ref": made["$ref"]}], **rest}
    dull = {key for key in ("title", "default") if not isinstance(made.get(key), dict)}
    if made.get("default") is not None:
        dull.discard("default")
    return {key: _tidy(item) for key, item in made.items() if key not in dull}


def text() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
