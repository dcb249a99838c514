"""The scripts that are shipped, against the tables that are: each does what its comment says it does."""

from pathlib import Path

import pytest

from proxy.config import ConfigError, load_without_keys
from proxy.rehearsal.play import rehearse
from proxy.rehearsal.script import Draft

CONFIG = Path(__file__).parents[2] / "config"
SCRIPTS = sorted(path.stem for path in (CONFIG / "rehearsals").glob("*.yaml"))
ONE_TABLE = {"bad-afternoon"}
"""Scripts that name a vendor which the quickstart does not have."""
PLAYED = [
    (table, script)
    for table in ("proxy", "quickstart")
    for script in SCRIPTS
    if table == "proxy" or script not in ONE_TABLE
]


def played(table, script, *, edit=lambda text: text, folder=CONFIG):
    path = folder / f"{table}.yaml"
    if folder is not CONFIG:
        path.write_text(edit((CONFIG / f"{table}.yaml").read_text()))
    loaded = load_without_keys(path, {})
    fitted = Draft.read(CONFIG / "rehearsals" / f"{script}.yaml").fitted(loaded.table)
    return rehearse(loaded.table, fitted, lambda *_: None)


@pytest.mark.parametrize(("table", "script"), PLAYED)
def test_a_script_runs_against_a_table_and_all_that_it_expects_is_so(table, script):
    came = played(table, script)
    assert [check for check in came.checks if not check.met] == []
    assert came.checks
    assert came.figures.calls > 500
    assert "garbled" not in came.figures.failed
    assert [line.text for line in came.timeline if line.kind == "act"]


@pytest.mark.parametrize("script", sorted(ONE_TABLE))
def test_a_script_that_speaks_of_another_table_is_refused(script):
    with pytest.raises(ConfigError, match="the table has no such upstream"):
        played("quickstart", script)


def test_a_table_that_mends_broken_streams_loses_none_to_stalls(tmp_path):
    """What the comment of the script advises."""
    before = played("quickstart", "stalls").figures
    after = played("quickstart", "stalls", edit=mending, folder=tmp_path).figures
    assert before.broken > 50
    assert after.broken == 0
    assert after.whole / after.calls > 0.99


def mending(text):
    return text.replace("    targets:\n", "    on_midstream: continue\n    targets:\n")
