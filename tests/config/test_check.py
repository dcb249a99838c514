"""`fallthrough check`: the same parser as the start, for people and for editors."""

import json
from pathlib import Path

from click.testing import CliRunner

from proxy.cli.check import check

ROOT = Path(__file__).parents[2]


def test_a_right_file_is_shown_as_it_will_be_in_force():
    path = str(ROOT / "config/proxy.yaml")
    environ = {"OPENAI_API_KEY": "sk-secret", "OTHER_URL": "http://other.example/v1", "COLUMNS": "200"}
    done = CliRunner().invoke(check, [path], env=environ)
    assert done.exit_code == 0
    assert "openai: openai at https://api.openai.com/v1, with a key" in done.output
    assert "deepseek is off: DEEPSEEK_API_KEY is not set" in done.output
    assert "openai/gpt-4o · $2.5 in, $10 out per million tokens (packaged)\n" in done.output
    assert "context 128,000, output 16,384, tools, vision, files, schemas\n" in done.output
    assert done.output.count("mistralai/Mistral-7B-Instruct-v0.3 ·") == 1
    assert (
        "other/small · $0.1 in, $0.3 out per million tokens; $0.2 in, $0.6 out above 128,000 (file)\n"
        in done.output
    )
    assert "$20 a month for each tenant; told at 75 %, 90 %, 100 %; then the caller is refused" in done.output
    assert "sk-secret" not in done.output


def test_faults_go_to_standard_error_and_fail():
    path = ROOT / "tests/config/bad/many-at-once.yaml"
    done = CliRunner().invoke(check, [str(path)], env={})
    assert done.exit_code == 2
    assert done.stdout == ""
    expected = (path.with_suffix(".expected")).read_text().replace("many-at-once.yaml", str(path))
    assert done.stderr == expected + f"{len(expected.splitlines())} faults; nothing is in force\n"


def test_faults_are_told_to_programs_too():
    path = ROOT / "tests/config/bad/many-at-once.yaml"
    done = CliRunner().invoke(check, [str(path), "--json"], env={})
    assert done.exit_code == 2
    faults = json.loads(done.stdout)["faults"]
    assert faults == done.stderr.splitlines()[:-1]


def test_each_route_shows_its_targets_in_order_and_those_that_are_off():
    path = str(ROOT / "config/proxy.yaml")
    done = CliRunner().invoke(check, [path], env={"OPENAI_API_KEY": "sk-secret"})
    lines = [line.lstrip("│├└─ ") for line in done.output.splitlines()]
    assert "on openai: openai at https://api.openai.com/v1, with a key" in lines
    assert "off anthropic: ANTHROPIC_API_KEY is not set" in lines
    at = next(number for number, line in enumerate(lines) if line.startswith("gpt-4o · "))
    assert lines[at + 1 : at + 5] == [
        "1. openai/gpt-4o",
        "2. vllm/mistralai/Mixtral-8x7B-Instruct-v0.1",
        "- anthropic/claude-sonnet-4-5, off: ANTHROPIC_API_KEY is not set",
        "- deepseek/deepseek-chat, off: DEEPSEEK_API_KEY is not set",
    ]


def test_a_pipe_gets_plain_text_and_programs_get_data():
    path, environ = str(ROOT / "config/proxy.yaml"), {"OPENAI_API_KEY": "sk-secret"}
    assert "\x1b" not in CliRunner().invoke(check, [path], env=environ).output
    done = CliRunner().invoke(check, [path, "--json"], env=environ)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["faults"]) == (0, [])
    assert "sk-secret" not in done.output
    upstreams = {one["name"]: one for one in told["upstreams"]}
    assert (upstreams["openai"]["on"], upstreams["openai"]["key"]) == (True, True)
    assert (upstreams["deepseek"]["on"], upstreams["deepseek"]["why"]) == (
        False,
        "DEEPSEEK_API_KEY is not set",
    )
    first = told["routes"][0]
    assert first["model"] == "gpt-4o"
    assert first["targets"][0]["target"] == "openai/gpt-4o"
    assert first["targets"][0]["price_from"] == "packaged"
    assert first["targets"][1]["price_from"] == "file"
    assert [one["on"] for one in first["targets"]] == [True, True, False, False]
    assert told["limits"][2]["unit"] == "nano_usd"


def test_without_a_file_the_environment_is_checked():
    done = CliRunner().invoke(check, [], env={"VLLM_URL": "http://127.0.0.1:8000/v1"})
    assert done.exit_code == 0
    assert "vllm: vllm at http://127.0.0.1:8000/v1, without a key" in done.output


def test_a_database_is_shown_without_its_password():
    environ = {
        "VLLM_URL": "http://127.0.0.1:8000/v1",
        "FALLTHROUGH_LEDGER": "postgresql://proxy:hunter2@db/ledger?sslmode=require",
        "COLUMNS": "200",
    }
    done = CliRunner().invoke(check, [], env=environ)
    assert done.exit_code == 0
    assert "ledger postgresql://proxy@db/ledger?sslmode=require · auth keys" in done.output
    assert "hunter2" not in done.output
