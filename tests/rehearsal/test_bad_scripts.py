"""Bad scripts, by kind of mistake: `bad/NAME.yaml`, and every fault it must give in `bad/NAME.expected`."""

from pathlib import Path

import pytest

from proxy.config import ConfigError, load_without_keys
from proxy.rehearsal.script import Draft

BAD = Path(__file__).parent / "bad"
NAMES = sorted(path.stem for path in BAD.glob("*.yaml") if path.stem != "table")


@pytest.fixture
def table(monkeypatch):
    monkeypatch.chdir(BAD)
    return load_without_keys(Path("table.yaml"), {}).table


def faults(name, table):
    with pytest.raises(ConfigError) as caught:
        Draft.read(Path(f"{name}.yaml")).fitted(table)
    return f"{caught.value}\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_is_told_at_once_with_its_place_and_remedy(name, table):
    assert faults(name, table) == (BAD / f"{name}.expected").read_text()


def test_every_bad_script_has_its_expectation():
    assert {*NAMES} == {path.stem for path in BAD.glob("*.expected")}


def test_a_script_that_is_not_there_is_a_fault(table):
    assert faults("none", table).startswith("none.yaml: the file cannot be read (No such file or directory)")


def test_an_empty_script_is_two_minutes_in_which_nothing_goes_wrong(table, tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("")
    script = Draft.read(path).fitted(table)
    assert (script.models, script.acts, script.load.lasts) == ({"gpt-4o": 1}, (), 120.0)
