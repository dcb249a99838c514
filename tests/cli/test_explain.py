"""`fallthrough explain`, as an operator types it, from a file alone."""

import json

import pytest
from click.testing import CliRunner

from proxy.cli.explain import explain_call

FILE = """
upstreams:
  one: {dialect: openai, base_url: "http://127.0.0.1:1/v1", api_key: "${ONE_KEY}"}
  two: {dialect: openai, base_url: "http://127.0.0.1:2/v1", api_key: "${TWO_KEY}"}
  home: {dialect: vllm, base_url: "http://127.0.0.1:3/v1", tags: [self-hosted]}
routes:
  - model: chat
    targets: [one/big, two/big, home/small]
    max_output_tokens: 100
  - model: "small-*"
    targets: [home/small]
limits:
  - {per: tenant, tokens: 50_000, every: day}
  - {tenant: tiny, tokens: 100_000, every: day}
  - {upstream: one, requests: 10, every: day}
privacy: {consent: self_hosted_without}
prices:
  one/*: {input: 1, output: 2}
  two/*: {input: 3, output: 4}
  home/*: {input: 0, output: 0}
models:
  home/small: {tools: false, context: 1000}
"""
CANARY = "canary-prompt-7731"


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "proxy.yaml"
    file.write_text(FILE)
    return file


def run(*words, **options):
    return CliRunner().invoke(
        explain_call, list(map(str, words)), env={"ONE_KEY": "sk-secret-one"}, **options
    )


def told(*words, **options):
    return json.loads(run(*words, "--json", **options).stdout)


def targets(found):
    return {one["target"]: (one["turn"], one["why"]) for one in found["targets"]}


def test_each_target_has_its_turn_or_the_reason_why_not(path):
    found = told(path, "--model", "chat", "--header", "x-user-consent: true")
    assert (found["route"], found["number"], found["refused"]) == ("chat", 1, None)
    assert targets(found) == {
        "one/big": (1, ""),
        "home/small": (2, ""),
        "two/big": (None, "off (TWO_KEY is not set)"),
    }
    assert found["live"] is False
    assert "live state is not included" in found["notes"][0]


EVERY_DIALECT = """
upstreams:
  one: {dialect: openai, api_key: "${ONE_KEY}"}
  two: {dialect: anthropic, api_key: "${ONE_KEY}"}
  three: {dialect: gemini, api_key: "${ONE_KEY}"}
  home: {dialect: vllm, base_url: "http://127.0.0.1:3/v1"}
routes:
  - model: chat
    targets: [one/gpt-4o, two/claude-sonnet-4-5, three/gemini-2.5-pro, home/small]
"""


def test_a_model_s_name_alone_has_every_dialect_asked(tmp_path):
    file = tmp_path / "proxy.yaml"
    file.write_text(EVERY_DIALECT)
    assert [turn for turn, _ in targets(told(file, "--model", "chat")).values()] == [1, 2, 3, 4]


def test_without_consent_only_the_house_itself_is_asked(path):
    assert targets(told(path, "--model", "chat"))["one/big"] == (None, "no consent")


def test_the_body_decides_who_can_and_what_it_may_cost(path, tmp_path):
    body = tmp_path / "call.json"
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    said = {
        "model": "chat",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": CANARY}],
        "tools": [tool],
    }
    body.write_text(json.dumps(said))
    done = run(path, "--body", body, "--header", "x-user-consent: true", "--json")
    found = json.loads(done.stdout)
    assert targets(found)["home/small"] == (None, "calls no tools")
    bounds = found["bounds"]
    assert (bounds["output_tokens"], bounds["answers"]) == (7, 1)
    assert bounds["input_tokens"] >= body.stat().st_size
    assert bounds["nano_usd"] == bounds["input_tokens"] * 1000 + 7 * 2000
    assert CANARY not in done.output
    assert not any("nothing is known of the body" in note for note in found["notes"])
    piped = told(path, "--body", "-", "--header", "x-user-consent: true", input=json.dumps(said))
    assert piped["targets"] == found["targets"]
    assert told(path, "--body", body, "--model", "small-talk")["route"] == "small-*"


def test_what_has_no_price_costs_nobody_knows_what(path):
    path.write_text(FILE.replace("  two/*: {input: 3, output: 4}\n", ""))
    words = (path, "--model", "chat", "--header", "x-user-consent: true")
    ready = {"ONE_KEY": "x", "TWO_KEY": "x"}
    done = CliRunner().invoke(explain_call, [*map(str, words), "--json"], env=ready)
    found = json.loads(done.stdout)
    assert found["bounds"]["nano_usd"] is None
    assert [one["nano_usd"] is None for one in found["targets"]] == [False, True, False]
    shown = CliRunner().invoke(explain_call, list(map(str, words)), env=ready).stdout
    assert "what it may cost is not known, for want of a price for two/big" in shown
    assert "is the most that it may cost" not in shown


def test_what_is_written_as_free_costs_nothing(path):
    words = (path, "--model", "small-x")
    assert told(*words)["bounds"]["nano_usd"] == 0
    assert "$0.000000 is the most that it may cost" in run(*words).stdout


def test_a_preferred_upstream_comes_first(path):
    words = ("--header", "x-user-consent: true", "--header", "X-Preferred-Upstream: home")
    assert targets(told(path, "--model", "chat", *words))["home/small"] == (1, "")


def test_what_limits_would_hold_is_told_though_not_what_they_have_used(path):
    found = told(path, "--model", "chat", "--tenant", "tiny", "--header", "x-user-consent: true")
    counters = {one["scope"]: one for one in found["counters"]}
    assert set(counters) == {"tenant=tiny/tokens/day", "upstream=one/requests/day"}
    assert counters["upstream=one/requests/day"]["upstream"] == "one"
    assert counters["tenant=tiny/tokens/day"]["used"] is None


def test_a_call_that_nobody_would_answer_is_refused_with_its_words(path):
    done = run(path, "--model", "other")
    assert done.exit_code == 3
    assert "no route matches" in done.stdout
    assert "404 model_not_found" in done.stdout
    body = json.dumps({"model": "small-x", "messages": [{"role": "user", "content": "x" * 16_000}]})
    long = run(path, "--body", "-", input=body)
    assert long.exit_code == 3
    assert "not asked: has too small a context for the prompt" in long.stdout
    assert "400 context_length_exceeded" in long.stdout


def test_people_get_tables_and_a_pipe_no_colours(path):
    done = run(path, "--model", "chat", "--header", "x-user-consent: true")
    assert done.exit_code == 0
    assert "chat for default: route 1, chat, by the table alone" in done.stdout
    assert "asked if those before it fail" in done.stdout
    assert "not asked: off (TWO_KEY is not set)" in done.stdout
    assert "\x1b" not in done.stdout
    assert "sk-secret-one" not in done.output


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "which model"),
        (("--model", "chat", "--header", "authorization: Bearer x"), 2, "authorization decides nothing"),
        (("--model", "chat", "--header", "nonsense"), 2, "not NAME: VALUE"),
        (("--model", "chat", *(("--header", "x-user-consent: true") * 2)), 2, "given twice"),
        (("--model", "chat", "--header", "x-user-consent: perhaps"), 1, "must be true or false"),
        (("--model", "chat", "--tenant", "no spaces"), 2, "letters"),
        (("--model", "chat", "--ask", "ftp://x"), 2, "http://HOST:PORT"),
        (("--model", "chat", "--ask", "http://[::1"), 2, "http://HOST:PORT"),
        (("--model", "chat", "--ask", "unix:/nowhere/admin.sock"), 1, "no proxy answers there"),
        (("--model", "chat", "--ask", "http://127.0.0.1:1"), 1, "no proxy answers there"),
    ],
)
def test_what_cannot_be_told_is_a_sentence_and_a_status(path, words, status, said):
    done = run(path, *words)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_body_that_no_caller_could_send_is_refused_alike(path):
    done = run(path, "--body", "-", "--model", "chat", input="[1]")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "JSON object" in done.stderr
    done = run(path, "--body", "-", input='{"model": "chat"}')
    assert "Missing required parameter" in done.stderr


def test_faults_of_the_file_are_told_as_check_tells_them(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("routes: []")
    done = run(bad, "--model", "chat")
    assert done.exit_code == 2
    assert "nothing is in force" in done.stderr


def test_help_shows_an_example():
    done = run("--help")
    assert "fallthrough explain proxy.yaml --model chat" in done.stdout
