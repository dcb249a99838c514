"""`fallthrough rehearse` as a process: what it prints where, and how it ends."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "config"
SCRIPT = """
load: {calls: 2/s, for: 40s, answer: 10}
acts: [{at: 10s, for: 10s, upstream: openai, does: overloaded}]
expect: {whole: ">= 100%", outage: "<= 0s", never: [upstream_error]}
"""


@pytest.fixture
def rehearse(tmp_path):
    def run(script=SCRIPT, *words, table=CONFIG / "quickstart.yaml", seed="0"):
        path = tmp_path / "script.yaml"
        path.write_text(script)
        command = [sys.executable, "-W", "error", "-m", "proxy", "rehearse", str(table), str(path), *words]
        environ = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": seed, "OPENAI_API_KEY": "sk-never-shown"}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=50, cwd=tmp_path, env=environ, check=False
        )

    return run


def test_it_prints_a_timeline_the_figures_and_a_verdict(rehearse, tmp_path):
    ended = rehearse()
    assert (ended.returncode, ended.stderr) == (0, "")
    for words in ("Timeline", "0:10.0", "begins: openai overloaded", "openai: open", "answered whole", "Met"):
        assert words in ended.stdout
    assert "\x1b" not in ended.stdout
    assert "sk-never-shown" not in ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["script.yaml"]


def test_an_expectation_that_is_not_met_is_told_and_exits_with_1(rehearse):
    ended = rehearse(SCRIPT.replace('outage: "<= 0s"', 'cost: "<= 0.000001"'), "--quiet")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "not met" in ended.stdout
    assert "Not met: 1 of 3" in ended.stdout
    assert "Timeline" not in ended.stdout


def test_faults_of_both_files_are_told_at_once_and_exit_with_2(rehearse, tmp_path):
    table = tmp_path / "table.yaml"
    table.write_text("upstreams: {a: {dialect: klingon}}\nroutes: []\n")
    ended = rehearse("acts: [{does: overlaoded}]", table=table)
    assert (ended.returncode, ended.stdout) == (2, "")
    told = ended.stderr.splitlines()
    assert f"{table}:1: upstreams.a.dialect: not one of the words known here (was klingon)" in told[0]
    assert f"{tmp_path / 'script.yaml'}:1: acts[0].does:" in told[-1]
    assert "did you mean `overloaded`?" in told[-1]


def test_the_same_seed_is_the_same_output_in_every_process(rehearse):
    first, second = (rehearse(SCRIPT, "--json", seed=seed) for seed in ("1", "2"))
    assert first.stdout == second.stdout
    other = rehearse(SCRIPT.replace("calls: 2/s", "calls: 2/s, seed: 7"), "--json")
    assert other.stdout != first.stdout


def test_what_came_of_it_as_data(rehearse):
    ended = rehearse(SCRIPT, "--json")
    told = json.loads(ended.stdout)
    assert told["met"] is True
    assert [check["what"] for check in told["expected"]] == ["whole", "outage", "never upstream_error"]
    figures = told["figures"]
    assert figures["calls"] == figures["whole"] == sum(figures["answered"].values())
    assert {line["kind"] for line in told["timeline"]} == {"act", "answers", "breaker"}
    assert float(figures["usd"]) > 0


def test_a_terminal_is_shown_how_far_it_is(tmp_path):
    (tmp_path / "script.yaml").write_text(SCRIPT)
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "proxy",
        "rehearse",
        str(CONFIG / "quickstart.yaml"),
        "script.yaml",
        "--json",
    ]
    environ = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path, env=environ
    ) as process:
        os.close(theirs)
        report, _ = process.communicate(timeout=50)
    shown = os.read(ours, 1 << 20)
    os.close(ours)
    assert b"rehearsing" in shown
    assert b"not whole" in shown
    assert json.loads(report)["met"] is True


def test_help_shows_a_script(rehearse):
    ended = rehearse(SCRIPT, "--help")
    assert ended.returncode == 0
    assert "does: overloaded" in ended.stdout
