"""What an upstream says in its errors is in no file, no view and no label, whatever it is."""

import contextlib
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.kit.processes import House, calls, eventually

KEY = "9f8e7d6c-5b4a39281706"
"""Of a form that nothing would know for a key."""
PROMPT = "Jane Doe is expecting"
ANSWER = "the answer was tumour malignant"
DIALECTS = ("openai", "vllm", "anthropic", "gemini")
TABLE = """\
settings:
  listen: 127.0.0.1:{proxy}
  admin: 127.0.0.1:{admin}
  probes: 127.0.0.1:{probes}
  ledger: sqlite:///{folder}/ledger.db
  auth: none
"""
UPSTREAM = """
  NAME:
    dialect: NAME
    base_url: http://127.0.0.1:PORT/v1
    api_key: KEY
    breaker: {{failures: 1000}}
"""
ROUTE = """
  - model: NAME
    targets: [NAME/m]
"""


def table(port):
    """One upstream of each dialect, all at `port`, and a model for each."""
    upstreams = "".join(UPSTREAM.replace("NAME", one) for one in DIALECTS)
    routes = "".join(ROUTE.replace("NAME", one) for one in DIALECTS)
    whole = TABLE + "upstreams:" + upstreams + "routes:" + routes
    return whole.replace("PORT", str(port)).replace("KEY", KEY)


def bodies(leak):
    yield {"error": {"message": leak, "type": leak, "code": leak, "param": leak}}
    yield {"type": "error", "error": {"type": leak, "message": leak, "details": {"error_code": leak}}}
    yield {"error": {"code": 400, "status": leak, "message": leak, "details": [{"reason": leak}]}}


class Leaking(BaseHTTPRequestHandler):
    """Answers each call with what it was last told to."""

    protocol_version = "HTTP/1.1"
    status, kind, said = 200, "application/json", b""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status, f"No {KEY} {PROMPT}")
        self.send_header("content-type", self.kind)
        self.send_header("retry-after", PROMPT)
        self.send_header("x-request-id", KEY)
        self.send_header("content-length", str(len(self.said)))
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *said):
        pass


@pytest.fixture
def leaking():
    handler = type("Scripted", (Leaking,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_address[1], handler
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.fault("b11-secret")
def test_no_error_of_an_upstream_carries_a_secret_a_prompt_or_an_answer_into_what_is_kept(leaking, tmp_path):
    port, upstream = leaking
    house = House(tmp_path, table=table(port))
    told = b""
    try:
        house.serve()
        made = 0
        for leak in (KEY, f"key {KEY} has no access", f"Upstream blocked: {PROMPT}", f"Leak: {ANSWER}"):
            for body in bodies(leak):
                raw = json.dumps(body).encode()
                event = b"event: error\ndata: " + raw + b"\n\n"
                for status, kind, said in (
                    (400, "application/json", raw),
                    (503, "application/json", raw),
                    (200, "application/json", raw),
                    (200, "text/event-stream", event),
                ):
                    upstream.status, upstream.kind, upstream.said = status, kind, said
                    for dialect in DIALECTS:
                        told += asked(house, dialect, stream=kind != "application/json")
                        made += 1
        eventually(lambda: len(calls(house, made)) == made)
        shown = "".join(house.get("admin", path)[1] for path in ("/admin/state", "/metrics"))
        shown += house.log() + json.dumps(calls(house, made))
    finally:
        house.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name != "proxy.yaml")
    for canary in (KEY, PROMPT, ANSWER):
        assert canary not in shown
        assert canary.encode() not in kept
    assert KEY.encode() not in told


def asked(house, model, *, stream):
    """The whole answer to one call, head and all."""
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", house.ports["proxy"], timeout=10)
    ) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        answer = connection.getresponse()
        return str(answer.headers).encode() + answer.read()
