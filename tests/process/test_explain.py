"""`explain --ask` and `check --against` beside a proxy that runs, whose first upstream has failed."""

import http.client
import json
import subprocess
import sys

import pytest

from tests.kit.processes import calls, house

LIMITS = """\
limits:
  - {per: tenant, requests: 1_000, every: month}
"""
BODY = {"model": "chat", "messages": [{"role": "user", "content": "canary-prompt-7731"}]}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Six calls were made: the first upstream failed five of them, until its breaker opened."""
    with house(tmp_path_factory.mktemp("explain"), extra=LIMITS) as running:
        running.script("first: [{do: {error: overload}}]")
        assert [post(running) for _ in range(6)] == [200] * 6
        yield running


def post(built) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", built.ports["proxy"], timeout=10)
    try:
        headers = {"authorization": f"Bearer {built.key}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(BODY), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def told(built, *words, given=None):
    """(exit status, what was told as JSON)."""
    command = [sys.executable, "-m", "proxy", *words, "--json"]
    done = subprocess.run(command, capture_output=True, input=given, timeout=60, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


def test_the_open_breaker_and_what_was_used_are_seen_and_nothing_is_touched(built):
    before = calls(built)
    words = (
        "explain",
        "--ask",
        f"http://127.0.0.1:{built.ports['admin']}",
        "--body",
        "-",
        "--tenant",
        "acme",
    )
    for _ in range(2):
        status, found = told(built, *words, given=json.dumps(BODY).encode())
        assert (status, found["live"], found["route"]) == (0, True, "chat")
        seen = {one["target"]: (one["turn"], one["why"]) for one in found["targets"]}
        assert seen == {"vllm/mixtral": (1, ""), "first/gpt-4o-mini": (None, "open")}
        (counter,) = found["counters"]
        assert (counter["used"], counter["held"], counter["amount"]) == (6, 0, 1)
        assert {one["upstream"]: one["state"] for one in found["upstreams"]} == {
            "first": "open",
            "vllm": "closed",
        }
    assert calls(built) == before
    assert "canary" not in built.log()
    assert "canary" not in json.dumps(found)


def test_the_ledger_says_who_was_passed_over(built):
    latest, *earlier = calls(built)
    assert [one["upstream"] for one in latest["attempts"]] == ["vllm"]
    assert latest["attempts"][0]["passed"] == [{"upstream": "first", "model": "gpt-4o-mini", "why": "open"}]
    assert all("passed" not in attempt for call in earlier for attempt in call["attempts"])


def test_a_changed_file_is_held_against_the_ledger(built):
    status, found = told(built, "check", str(built.config), "--against", "ledger")
    assert (status, found["unchanged"], found["changes"]) == (0, 6, [])
    changed = built.folder / "changed.yaml"
    text = built.config.read_text()
    changed.write_text(text.replace("[first/gpt-4o-mini, vllm/mixtral]", "[vllm/mixtral, first/gpt-4o-mini]"))
    status, found = told(built, "check", str(changed), "--against", str(built.folder / "ledger.db"))
    assert (status, found["unchanged"]) == (3, 1)
    (change,) = found["changes"]
    assert (change["calls"], change["was"], change["would_be"]) == (5, "first/gpt-4o-mini", "vllm/mixtral")
