"""`fallthrough rehearse --live`: a table on its own ports, with upstreams and callers that are played."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess

import pytest

from tests.kit.processes import READY_S, eventually, fallthrough, free_ports

TABLE = """
settings: {{listen: "127.0.0.1:{0}", admin: off, probes: "127.0.0.1:{1}", ledger: "sqlite:///never/ledger.db"}}
upstreams:
  openai: {{api_key: "${{OPENAI_API_KEY}}"}}
  vllm: {{dialect: vllm, base_url: "${{VLLM_URL}}"}}
routes: [{{model: chat, targets: [openai/gpt-4o, vllm/mixtral]}}]
"""
SCRIPT = """
load: {calls: 20/s, for: LASTS, answer: 5}
healthy: {"*": {round_trip: 1ms, first_token: 5ms, chunk_delay: 1ms}}
acts: [{upstream: openai, does: refuse_connection}]
expect: {whole: ">= 100%"}
"""


@pytest.fixture
def live(tmp_path, monkeypatch):
    """`start(lasts)` → process, its log, the ports of the table."""
    monkeypatch.chdir(tmp_path)
    ports = free_ports(2)
    (tmp_path / "table.yaml").write_text(TABLE.format(*ports))
    with contextlib.ExitStack() as stack:

        def start(lasts):
            (tmp_path / "script.yaml").write_text(SCRIPT.replace("LASTS", lasts))
            log = tmp_path / "log"
            words = ("rehearse", "table.yaml", "script.yaml", "--live", "--json")
            with log.open("wb") as out:
                process = fallthrough(*words, stdout=out, stderr=subprocess.STDOUT)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process, log, ports

        yield start


def asked(port, method, path, body=None):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_it_serves_while_it_is_played_and_goes_on_until_it_is_stopped(live, tmp_path):
    process, log, (public, probes) = live("2s")
    eventually(lambda: '"met"' in log.read_text())
    _, metrics = asked(probes, "GET", "/metrics")
    assert re.search(r'fallthrough_calls_total\{error_type="",.*upstream="vllm"', metrics)
    assert 'fallthrough_breaker_state{upstream="openai"} 2.0' in metrics
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "Count to 3."}]})
    status, answer = asked(public, "POST", "/v1/chat/completions", body)
    assert (status, json.loads(answer)["choices"][0]["message"]["content"]) == (200, " 1 2 3")
    assert "REHEARSAL: no upstream is called" in log.read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(READY_S) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "script.yaml", "table.yaml"]


def test_one_that_is_stopped_before_its_end_was_no_success(live):
    process, log, (_, probes) = live("10m")
    eventually(lambda: "serving" in log.read_text())
    eventually(lambda: 'fallthrough_calls_total{error_type=""' in asked(probes, "GET", "/metrics")[1])
    process.send_signal(signal.SIGTERM)
    assert process.wait(READY_S) == 1


def test_a_port_that_is_taken_exits_with_4(live, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "table.yaml").write_text(TABLE.format(taken.getsockname()[1], *free_ports(1)))
        process, log, _ = live("1s")
        assert process.wait(READY_S) == 4
        assert "cannot listen" in log.read_text()
