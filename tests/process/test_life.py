"""One proxy process from start to end: what its operators and its callers see of it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import openai
import pytest
from openai import OpenAI

from tests.kit.processes import TABLE, House, calls, eventually, fallthrough, free_ports, house

ASK = [{"role": "user", "content": "a prompt that nobody may find again: xylophone-4711"}]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def client():
    """Makes clients without retries, so that every failure is seen; closes them."""
    with contextlib.ExitStack() as stack:

        def make(built) -> OpenAI:
            return stack.enter_context(OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0))

        yield make


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with house(tmp_path_factory.mktemp("life")) as built:
        yield built


@pytest.fixture
def healthy(running):
    running.script("{}")
    yield running
    running.script("{}")


def test_the_ledger_tells_both_attempts_and_the_cost_of_a_call(healthy, client):
    healthy.script("first: [{do: {status: 503}}]")
    raw = client(healthy).chat.completions.with_raw_response.create(model="chat", messages=ASK)
    told = eventually(
        lambda: next((c for c in calls(healthy) if c["call_id"] == raw.headers["x-request-id"]), None)
    )
    assert [attempt["upstream"] for attempt in told["attempts"]][-1] == "vllm"
    assert told["attempts"][0]["upstream"] == "first"
    assert told["attempts"][0]["result"] == "overload"
    assert told["attempts"][-1]["result"] == "ok"
    assert told["result"] == "ok"
    healthy.script("{}")


def test_a_paid_call_has_its_price(healthy, client):
    answer = client(healthy).chat.completions.create(model="chat", messages=ASK)
    told = eventually(lambda: next((c for c in calls(healthy) if c["upstream"] == "first"), None))
    expected = answer.usage.prompt_tokens * 150 + answer.usage.completion_tokens * 600
    assert told["nano_usd"] == expected


def test_no_prompt_no_answer_and_no_secret_is_in_any_file(healthy, client):
    answer = client(healthy).chat.completions.create(model="chat", messages=ASK, user="jane@example.org")
    eventually(lambda: calls(healthy))
    for path in healthy.folder.iterdir():
        if path.name in {"proxy.yaml", "script.yaml"}:
            continue
        data = path.read_bytes()
        for secret in ("xylophone-4711", "jane@example.org", healthy.key, "sk-upstream-first"):
            assert secret.encode() not in data, f"{secret} is in {path.name}"
        assert answer.choices[0].message.content.encode() not in data, path.name


def test_a_revoked_key_stops_working_within_a_second(healthy):
    key = healthy.new_key("globex")
    eventually(lambda: _status(healthy, key) == 200)
    listed = healthy.run("keys", "--config", str(healthy.config), "list")
    key_id = next(line for line in listed.splitlines() if "globex" in line).split("key_")[1][:16]
    healthy.run("keys", "--config", str(healthy.config), "revoke", f"key_{key_id}")
    eventually(lambda: _status(healthy, key) == 401)


def test_a_key_is_revoked_while_the_file_has_a_fault_that_the_proxy_bears(tmp_path):
    with house(tmp_path) as built:
        key = built.new_key("globex")
        eventually(lambda: _status(built, key) == 200)
        built.config.write_text(built.config.read_text().replace("routes:", "routs:"))
        (key_id,) = (
            each["key_id"]
            for each in json.loads(built.run("keys", "--config", str(built.config), "list", "--json"))
            if each["tenant"] == "globex"
        )
        built.run("keys", "--config", str(built.config), "revoke", key_id)
        eventually(lambda: _status(built, key) == 401)


def _status(built, key) -> int:
    return built.get("proxy", "/v1/models", authorization=f"Bearer {key}")[0]


def test_a_member_named_like_a_header_becomes_none(healthy, client):
    odd = {"a\r\nx-evil: 1": True, "top_a": 1}
    create = client(healthy).chat.completions.with_raw_response.create
    raw = create(model="only-vllm", messages=ASK, extra_body=odd)
    assert raw.headers["x-fallthrough-degraded"] == "top_a, *"
    assert "x-evil" not in raw.headers


def test_metrics_count_calls_and_attempts_on_their_own_listeners(healthy, client):
    client(healthy).chat.completions.create(model="chat", messages=ASK)
    for name in ("probes", "admin"):
        text = healthy.get(name, "/metrics")[1]
        assert 'fallthrough_calls_total{error_type="",model="chat",upstream="first"}' in text
        assert (
            'gen_ai_client_operation_duration_seconds_count{error_type="",gen_ai_operation_name="chat",'
            in text
        )
    assert "unknown_path" in healthy.get("proxy", "/metrics")[1]


def test_a_caller_who_leaves_is_noticed_and_charged_for_what_came(healthy, client):
    healthy.script("vllm: [{do: {chunk_delay: 50ms, tokens: 100_000}}]")
    before = {c["call_id"] for c in calls(healthy)}
    stream = client(healthy).chat.completions.create(model="only-vllm", messages=ASK, stream=True)
    next(iter(stream))
    stream.close()
    told = eventually(lambda: next((c for c in calls(healthy, 5) if c["call_id"] not in before), None))
    assert told["result"] == "caller_gone"
    assert told["source"] == "observed"
    assert told["input_tokens"] > 0


def test_a_broken_stream_is_in_the_ledger_as_broken(healthy, client):
    healthy.script("vllm: [{do: {cut: 4}}]")
    before = {c["call_id"] for c in calls(healthy)}
    with pytest.raises(openai.APIError):
        list(client(healthy).chat.completions.create(model="only-vllm", messages=ASK, stream=True))
    told = eventually(lambda: next((c for c in calls(healthy, 5) if c["call_id"] not in before), None))
    assert told["result"] == "broken"


def test_a_spent_limit_refuses_with_numbers_and_alerts_once(tmp_path, client):
    limits = "\nlimits:\n  - {per: tenant, requests: 4, every: month, alert: [75]}\n"
    with house(tmp_path, extra=limits) as built:
        for _ in range(4):
            client(built).chat.completions.create(model="chat", messages=ASK)
        with pytest.raises(openai.RateLimitError) as caught:
            client(built).chat.completions.create(model="chat", messages=ASK)
        assert caught.value.code == "insufficient_quota"
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert caught.value.response.headers["x-ratelimit-limit-requests"] == "4"
        assert caught.value.request_id.startswith("req_")
        alerts = eventually(lambda: _alerts(built) if len(_alerts(built)) >= 2 else None)
        assert len(alerts) == 2
        metrics = built.get("probes", "/metrics")[1]
        assert 'fallthrough_limit_alerts_total{mark="100",unit="requests"} 1.0' in metrics
    connection = apsw.Connection(str(built.folder / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = connection.execute("SELECT count(*) FROM rows WHERE kind = 'alert'").fetchall()
    connection.close()
    assert rows == [(2,)]


def _alerts(built) -> list[dict]:
    lines = [json.loads(line) for line in built.log().splitlines() if line.startswith("{")]
    return [line for line in lines if "mark" in line]


def test_sigterm_lets_live_streams_end_and_turns_newcomers_away(tmp_path, client):
    with house(tmp_path) as built:
        built.script("vllm: [{do: {chunk_delay: 100ms}}]")
        stream = client(built).chat.completions.create(model="only-vllm", messages=ASK, stream=True)
        seen = [next(iter(stream))]
        process = built.processes["proxy"]
        os.kill(process.pid, signal.SIGTERM)
        eventually(lambda: _get_status(built, "/readyz") != 200)
        seen += list(stream)
        assert seen[-1].choices[0].finish_reason == "stop"
        assert process.wait(timeout=20) == 0


def _get_status(built, path) -> int:
    try:
        return built.get("probes", path)[0]
    except OSError:
        return 0


@pytest.mark.fault("d1-drain")
def test_a_stream_that_outlives_the_drain_ends_with_an_error_event(tmp_path, client):
    with house(tmp_path, table=SHORT_DRAIN) as built:
        built.script("vllm: [{do: {chunk_delay: 50ms, tokens: 100_000}}]")
        stream = client(built).chat.completions.create(model="only-vllm", messages=ASK, stream=True)
        next(iter(stream))
        os.kill(built.processes["proxy"].pid, signal.SIGTERM)
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert caught.value.code == "shutdown"
        assert built.processes["proxy"].wait(timeout=20) == 0
        (told,) = calls(built)
        assert told["result"] == "shutdown"


SHORT_DRAIN = House.table.replace("drain: 5s", "drain: 100ms")


def serve_in_vain(config: Path) -> subprocess.CompletedProcess[str]:
    """`fallthrough serve`, which is expected to refuse."""
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.fault("d20-second")
def test_a_second_proxy_on_the_same_ledger_is_refused(healthy):
    done = serve_in_vain(healthy.config)
    assert done.returncode == 3
    assert "another process" in done.stderr


def test_a_port_in_use_is_told_in_a_sentence(healthy, tmp_path):
    text = healthy.config.read_text().replace(f"{healthy.folder}/ledger.db", f"{tmp_path}/ledger.db")
    (tmp_path / "proxy.yaml").write_text(text)
    done = serve_in_vain(tmp_path / "proxy.yaml")
    assert done.returncode == 4
    assert "cannot listen: public listener at 127.0.0.1:" in done.stderr
    assert "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_file_is_told_and_not_served(tmp_path):
    (tmp_path / "bad.yaml").write_text("upstreams: {}\nroots: []\n")
    done = serve_in_vain(tmp_path / "bad.yaml")
    assert done.returncode == 2
    assert "roots" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_quickstart_answers_any_key_and_says_that_it_is_simulated(tmp_path):
    ports = free_ports(3)
    text = (ROOT / "config" / "quickstart.yaml").read_text()
    for known, port in zip((8080, 8081, 8082), ports, strict=True):
        text = text.replace(f"127.0.0.1:{known}", f"127.0.0.1:{port}")
    (tmp_path / "quickstart.yaml").write_text(text)
    script = str(ROOT / "config" / "scripts" / "first-dead.yaml")
    words = ("serve", "--config", "quickstart.yaml", "--simulator-script", script)
    with (tmp_path / "log").open("wb") as log:
        process = fallthrough(*words, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    try:
        base = f"http://127.0.0.1:{ports[0]}/v1"
        with OpenAI(base_url=base, api_key="whatever", max_retries=0) as sdk:
            raw = eventually(lambda: _try(sdk), seconds=30)
        assert raw.headers["x-fallthrough-upstream"] == "simulated-vllm"
        assert raw.parse().choices[0].message.content
        assert b"simulated" in (tmp_path / "log").read_bytes()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _try(sdk):
    try:
        return sdk.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASK)
    except openai.APIConnectionError:
        return None


def test_a_hang_up_has_the_table_read_anew_with_what_its_secrets_hold_now_and_cuts_nobody(tmp_path, client):
    secret = tmp_path / "model"
    secret.write_text("before")
    table = TABLE.replace("- model: only-vllm", f"- model: ${{{{file:{secret}}}}}")
    with house(tmp_path, table=table) as built:
        built.script("first: [{do: {chunk_delay: 100ms}}]")
        stream = client(built).chat.completions.create(model="chat", messages=ASK, stream=True)
        seen = [next(iter(stream))]
        secret.write_text("after")
        os.kill(built.processes["proxy"].pid, signal.SIGHUP)
        eventually(lambda: {m.id for m in client(built).models.list()} == {"chat", "checked", "after"})
        seen += list(stream)
        assert seen[-1].choices[0].finish_reason == "stop"
        metrics = built.get("probes", "/metrics")[1]
        assert 'fallthrough_table_reloads_total{result="taken"} 1.0' in metrics


def test_an_edited_table_is_in_force_within_a_second_and_a_faulty_one_never(tmp_path, client):
    with house(tmp_path) as built:
        good = built.config.read_text()
        built.config.write_text(good.replace("- model: only-vllm", "- model: renamed"))
        eventually(lambda: {m.id for m in client(built).models.list()} == {"chat", "checked", "renamed"})
        built.config.write_text(good.replace("targets:", "tragets:"))
        told = eventually(lambda: t if "last good" in (t := built.get("probes", "/readyz")[1]) else None)
        assert json.loads(told)["status"] == "ready"
        eventually(lambda: "did you mean" in built.log().lower())
        assert client(built).chat.completions.create(model="renamed", messages=ASK).choices
        metrics = built.get("probes", "/metrics")[1]
        assert 'fallthrough_table_reloads_total{result="taken"} 1.0' in metrics
        assert 'fallthrough_table_reloads_total{result="refused"} 1.0' in metrics
