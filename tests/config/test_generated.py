"""What is generated from the grammar may not drift from it."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import create_model
from pydantic_core import PydanticUndefined

from proxy.config import grammar, reference, schema
from proxy.config.forms import Part

ROOT = Path(__file__).parents[2]


def test_the_schema_is_the_grammar():
    assert (ROOT / "config/schema.json").read_text() == schema.text(), (
        "run: python -m proxy.config.schema > config/schema.json"
    )


def test_the_page_is_the_grammar():
    assert (ROOT / "docs/config.md").read_text() == reference.page(), (
        "run: python -m proxy.config.reference > docs/config.md"
    )


def test_every_key_has_a_meaning():
    parts = [schema.schema(), *schema.schema()["$defs"].values()]
    for part in parts:
        for key, form in part.get("properties", {}).items():
            assert form.get("description") or "$ref" in form, key


def parts():
    return [each for each in vars(grammar).values() if isinstance(each, type) and issubclass(each, Part)]


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.__name__)
def test_every_default_is_shown_as_one_would_write_it(part):
    made = schema.schema()["$defs"].get(part.__name__, {})
    for key, field in part.model_fields.items():
        if isinstance(field.default, Part) or field.default in (PydanticUndefined, None, [], {}):
            continue
        form = Annotated[field.annotation, *field.metadata, "read alone"]
        read = create_model("One", value=(form, ...), __base__=Part)(value=made["properties"][key]["default"])
        assert read.value == field.default, key
