"""How commands ask the admin listener: over a port or a Unix socket, and what comes of anything else."""

import http.server
import json
import socketserver
import threading

import click
import pytest

from proxy.cli.admin import posted


class Answering(http.server.BaseHTTPRequestHandler):
    """Says what it was sent, or what its path asks for."""

    def do_POST(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        said = {
            "/echo": (200, {"body": data.decode(), "tenant": self.headers["x-tenant"]}),
            "/refuse": (400, {"error": {"message": "no such tenant"}}),
            "/odd": (200, [1]),
        }[self.path]
        body = json.dumps(said[1]).encode()
        self.send_response(said[0])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "a caller"

    def log_message(self, *_):
        pass


class AtSocket(socketserver.UnixStreamServer):
    """A server on a path."""


@pytest.fixture(params=["port", "socket"])
def url(request, tmp_path):
    if request.param == "port":
        server = http.server.HTTPServer(("127.0.0.1", 0), Answering)
        where = f"http://127.0.0.1:{server.server_port}"
    else:
        where = f"unix:{tmp_path}/admin.sock"
        server = AtSocket(str(tmp_path / "admin.sock"), Answering)
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield where
        server.shutdown()
        thread.join()


def test_what_is_posted_arrives_and_the_answer_comes_back(url):
    assert posted(url, "/echo", b"hello", {"x-tenant": "acme"}) == {"body": "hello", "tenant": "acme"}


@pytest.mark.parametrize(
    ("path", "said"), [("/refuse", "no such tenant"), ("/odd", "not the admin listener")]
)
def test_anything_else_is_a_sentence(url, path, said):
    with pytest.raises(click.ClickException, match=said):
        posted(url, path, b"", {})
