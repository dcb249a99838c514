"""What is generated from the grammar may not drift from it."""

from pathlib import Path

from proxy.config import reference, schema

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
