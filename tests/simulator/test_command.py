"""`fallthrough simulate` as a process, and with scripts that cannot be played."""

import http.client
import re
import signal
import socket
import subprocess

import pytest
from click.testing import CliRunner

from proxy.cli import cli
from tests.kit.processes import fallthrough


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_serves_there_and_ends_on_a_signal(tmp_path, how):
    script = tmp_path / "script.yaml"
    script.write_text("one: [{do: {status: 503}}]")
    words = ("simulate", "--port", "0", "--script", str(script))
    with fallthrough(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            host, port = re.search(r"http://([\d.]+):(\d+)/openai/v1", process.stdout.readline()).groups()
            connection = http.client.HTTPConnection(host, int(port), timeout=10)
            body = '{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
            connection.request("POST", "/one/v1/chat/completions", body)
            assert connection.getresponse().status == 503
            connection.close()
            process.send_signal(how)
            assert process.stdout.read() == ""
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one: [{do: {statuss: 500}}]", "script.yaml: line 1: one[0].do.statuss: Extra inputs"),
        (b"one: [", "script.yaml: line 1: this is not YAML"),
        (b"\xff\xfe", "script.yaml: the file is not UTF-8"),
        (None, "script.yaml: it cannot be read: No such file or directory"),
    ],
)
def test_a_script_that_cannot_be_played_exits_with_2(tmp_path, data, message):
    script = tmp_path / "script.yaml"
    if data is not None:
        script.write_bytes(data)
    result = CliRunner().invoke(cli, ["simulate", "--port", "0", "--script", str(script)])
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_port_that_is_taken_exits_with_4():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(cli, ["simulate", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 4
    assert "cannot simulate" in result.stderr
