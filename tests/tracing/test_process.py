"""A proxy that is told of a collector sends its spans there; another does not even load the packages."""

import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.kit.processes import eventually, house


@pytest.fixture
def collector():
    """A collector on a port of its own: (its address, the requests it got)."""
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_reach_the_collector_and_hold_nothing_that_was_said(collector, tmp_path, monkeypatch):
    address, got = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with house(tmp_path) as built:
        body = {
            "model": "chat",
            "messages": [{"role": "user", "content": "canary-prompt"}],
            "user": "canary-user",
        }
        request = urllib.request.Request(
            f"{built.base_url}/chat/completions",
            json.dumps(body).encode(),
            {"authorization": f"Bearer {built.key}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            said = json.load(answer)["choices"][0]["message"]["content"]
            request_id = answer.headers["x-request-id"]
        eventually(lambda: got)
    (path, sent), *_ = got
    assert path == "/v1/traces"
    spans = ExportTraceServiceRequest.FromString(sent).resource_spans[0].scope_spans[0].spans
    assert sorted(span.name for span in spans) == ["chat chat", "chat gpt-4o-mini"]
    assert request_id.encode() in sent
    for secret in (b"canary", said.encode(), built.key.encode()):
        assert secret not in sent


def test_nothing_of_it_is_loaded_unless_it_is_on():
    script = "import sys, proxy.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & {"opentelemetry", "requests"}
