"""`fallthrough import` as it is typed: what goes where, and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import cli

CASES = Path(__file__).parent / "cases"
ENV_FILE = str(CASES / "env-three-vendors/variables.env")
LITELLM = str(CASES / "litellm-typical/config.yaml")


def run(*words, env=None):
    return CliRunner().invoke(cli, ["import", *words], env=env)


@pytest.mark.parametrize("words", [("env", "--env-file", ENV_FILE), ("litellm", LITELLM)])
def test_the_table_is_on_standard_output_and_what_is_told_on_standard_error(words):
    done = run(*words)
    assert done.exit_code == 0
    assert done.stdout.startswith("# Made by `fallthrough import`")
    assert "left out: " in done.stderr
    assert "canary" not in done.output


def test_what_is_written_to_a_file_passes_the_check_that_it_names(tmp_path):
    path = tmp_path / "proxy.yaml"
    done = run("env", "--env-file", ENV_FILE, "--output", str(path))
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"fallthrough check {path}" in done.stderr
    keys = {f"AI_{vendor}_API_KEY": "k" for vendor in ("OPENAI", "ANTHROPIC", "GEMINI")}
    checked = CliRunner().invoke(cli, ["check", str(path)], env=keys)
    assert checked.exit_code == 0, checked.output


def test_a_file_that_is_there_is_never_written_over(tmp_path):
    path = tmp_path / "proxy.yaml"
    path.write_text("mine")
    done = run("litellm", LITELLM, "--output", str(path))
    assert (done.exit_code, path.read_text()) == (1, "mine")
    assert "File exists" in done.stderr


def test_as_json_there_is_the_table_and_each_note_with_its_place_and_reason(tmp_path):
    told = json.loads(run("litellm", LITELLM, "--json").stdout)
    assert set(told) == {"table", "variables", "left", "changed", "set"}
    assert told["table"] == run("litellm", LITELLM).stdout
    assert all(note["place"] and note["why"] for kind in ("left", "changed", "set") for note in told[kind])
    assert "OPENAI_API_KEY_2" in told["variables"]


def test_without_a_file_the_environment_is_read_and_its_secrets_stay_there():
    done = run(
        "env", env={"LLM_PRIMARY_PROVIDER": "openai", "OPENAI_API_KEY": "sk-canary", "AI_SECRET": "canary"}
    )
    assert done.exit_code == 0
    assert "api_key: ${OPENAI_API_KEY}" in done.stdout
    assert "canary" not in done.output


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("none.yaml", None, "cannot be read"),
        ("c.yaml", "model_list: [", "c.yaml:1: this is not YAML"),
        ("c.yaml", "a: 1\na: 2\nmodel_list: []", "c.yaml:2: a: this key was written before"),
        ("c.yaml", "x: &a 1\nmodel_list: []", "c.yaml:1: x: anchors and aliases are not read"),
        ("c.yaml", "- 1", "this is not a mapping"),
        ("c.yaml", "router_settings: {}", "model_list: this list is missing"),
        ("c.yaml", "model_list: []", "names no model that could be carried over"),
        (
            "c.yaml",
            "model_list:\n  - {model_name: a, litellm_params: {model: azure/x}}",
            "c.yaml:2: model_list[0]: left out: azure/x: Azure",
        ),
    ],
)
def test_a_litellm_file_that_no_table_comes_of_ends_with_1_and_says_where(tmp_path, name, text, told):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    done = run("litellm", str(path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert told in done.stderr


def test_an_env_file_that_no_table_comes_of_ends_with_1(tmp_path):
    path = tmp_path / ".env"
    for text, told in (("nonsense", ".env:1: this is not NAME=VALUE"), ("A=1", "names no model")):
        path.write_text(text)
        done = run("env", "--env-file", str(path))
        assert (done.exit_code, done.stdout) == (1, "")
        assert told in done.stderr


@pytest.mark.parametrize("words", ["env --env-file .env", "litellm config.yaml"])
def test_help_has_an_example_to_be_copied(words):
    shown = run(words.split()[0], "--help").stdout
    assert f"Example: fallthrough import {words} --output proxy.yaml\n" in shown
