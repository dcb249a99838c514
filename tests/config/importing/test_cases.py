"""Whole imports: `cases/NAME/` holds what is read, the table that comes of it and all that is told."""

from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.importing import from_environment, from_litellm, read_env_file

CASES = Path(__file__).parent / "cases"
ANY_VALUE = "https://stand-in.example/v1"
"""Good for a key, an address and a webhook."""


def imported(case: Path):
    if (source := case / "config.yaml").exists():
        return from_litellm(source.name, source.read_bytes())
    source = case / "variables.env"
    return from_environment(read_env_file(source.name, source.read_bytes()))


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_the_table_and_the_notes_are_those_of_the_case_and_the_table_has_no_fault(name, tmp_path):
    made = imported(CASES / name)
    assert made.text == (CASES / name / "table.yaml").read_text()
    told = "".join(f"{note}\n" for note in made.notes)
    assert told == (CASES / name / "notes").read_text()
    assert "canary" not in made.text + told
    table = tmp_path / "table.yaml"
    table.write_text(made.text)
    loaded = load(table, dict.fromkeys(made.variables, ANY_VALUE))
    assert not loaded.notices
