"""`fallthrough check`: the same parser as the start, for people and for editors."""

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
    assert done.exit_code == 1
    assert done.stdout == ""
    expected = (path.with_suffix(".expected")).read_text().replace("many-at-once.yaml", str(path))
    assert done.stderr == expected + f"{len(expected.splitlines())} faults; nothing is in force\n"


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
