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


GLOBS = """\
upstreams: {vllm: {dialect: vllm, base_url: "http://127.0.0.1:1/v1"}}
routes:
  - {model: "gpt-*", targets: [vllm/gpt-oss-20b, vllm/mixtral]}
  - {model: "%s", targets: [vllm/gpt-oss-20b, vllm/mixtral]}
"""


@pytest.mark.parametrize(
    ("last", "asked"), [("*", {"gpt-oss-20b": 1, "mixtral": 1}), ("o?", {"gpt-oss-20b": 1})]
)
def test_where_a_table_has_only_globs_targets_are_asked_for_by_name(tmp_path, last, asked):
    (tmp_path / "table.yaml").write_text(GLOBS % last)
    (tmp_path / "script.yaml").write_text("")
    table = load_without_keys(tmp_path / "table.yaml", {}).table
    assert Draft.read(tmp_path / "script.yaml").fitted(table).models == asked


def test_globs_that_no_target_fits_do_not_say_what_to_ask_for(tmp_path):
    text = GLOBS.replace("gpt-oss-20b, vllm/", "") % "o?"
    (tmp_path / "table.yaml").write_text(text)
    (tmp_path / "script.yaml").write_text("")
    table = load_without_keys(tmp_path / "table.yaml", {}).table
    with pytest.raises(ConfigError, match=r"load: the table's globs do not say .*; write load\.models"):
        Draft.read(tmp_path / "script.yaml").fitted(table)
