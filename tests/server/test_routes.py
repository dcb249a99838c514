"""Every path that exists, on every listener, with every method and every kind of key."""

import pytest

from proxy.server.guard import anyone_but_pages
from proxy.server.routes import routes
from proxy.server.visit import Listener
from tests.server.running import CHAT, KEY, House, http

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

EXPECTED = {
    ("POST", "/v1/chat/completions", "public", True),
    ("GET", "/v1/chat/stream", "public", True),
    ("GET", "/v1/models", "public", True),
    ("GET", "/v1/models/*", "public", True),
    ("GET", "/v1/upstreams", "public", True),
    ("GET", "/v1/usage", "public", True),
    ("GET", "/healthz", "public", False),
    ("GET", "/healthz", "probes", False),
    ("GET", "/readyz", "public", False),
    ("GET", "/readyz", "probes", False),
    ("GET", "/metrics", "probes", False),
    ("GET", "/metrics", "admin", False),
    ("POST", "/admin/explain", "admin", False),
    ("GET", "/", "admin", False),
    ("GET", "/dashboard.css", "admin", False),
    ("GET", "/dashboard.js", "admin", False),
    ("GET", "/admin/state", "admin", False),
    ("GET", "/admin/events", "admin", False),
}


def rows():
    return {
        (entry.method, entry.path, str(listener), entry.authenticated)
        for entry in routes(House().service(), anyone_but_pages(()))
        for listener in entry.listeners
    }


@pytest.mark.fault("d22-admin")
def test_no_route_exists_that_this_list_does_not_name():
    assert rows() == EXPECTED


def concrete(path):
    return path.replace("*", "acme%2Fchat:v1")


@pytest.mark.fault("d22-admin")
@pytest.mark.parametrize("listener", Listener)
async def test_the_matrix_of_route_method_and_key(house, listener):
    """Without a row: 404. Another method: 405. A row that needs a key: 401 without, 200 with."""
    for path in sorted({row[1] for row in EXPECTED}):
        here = {(method, auth) for method, p, name, auth in EXPECTED if (p, name) == (path, listener)}
        for method in METHODS:
            for key in (KEY, "ft-unknown", None):
                status = await _status(house, listener, method, concrete(path), key)
                assert status == _expected(here, method, key, path), (listener, method, path, key)


async def _status(house, listener, method, path, key):
    line = await house.connect(listener)
    try:
        line.send(http(method, path, CHAT if method == "POST" else None, key=key))
        status, _ = await line.head()
        return status
    finally:
        line.close()


def _expected(here, method, key, path):
    if not here:
        return 404
    rows = dict(here)
    wanted = "GET" if method == "HEAD" else method
    if wanted not in rows:
        return 405
    if rows[wanted] and key != KEY:
        return 401
    return 426 if path == "/v1/chat/stream" else 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/chat/completions/",
        "//v1/models",
        "/v1//models",
        "/v1/models/",
        "/v1/../healthz",
        "/v1/%2e%2e/healthz",
        "/%76%31/models",
        "/healthz/",
        "/healthz%00",
        "/V1/models",
        "/v1/models;x=1",
        "/admin",
        "/admin/state",
        "/dashboard.js",
        "/metrics",
    ],
)
async def test_a_path_is_matched_exactly_or_not_at_all(house, path):
    """No redirect, no normalising: what is not in the table is 404, in OpenAI's shape."""
    reply = await house.send(http("GET", path))
    assert reply.status == 404
    assert "location" not in reply.headers
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}


async def test_a_wrong_method_is_told_the_right_ones(house):
    reply = await house.send(http("DELETE", "/v1/models"))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    reply = await house.send(http("GET", "/v1/chat/completions"))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_a_query_does_not_hide_a_route(house):
    reply = await house.send(http("GET", "/v1/models?api-version=2024-10-21"))
    assert reply.status == 200


async def test_head_answers_like_get_without_a_body(house):
    line = await house.connect()
    line.send(http("HEAD", "/healthz") + http("GET", "/healthz"))
    head, get = await line.answer(bodiless=True), await line.answer()
    line.close()
    assert head.status == get.status == 200
    assert head.headers["content-length"] == str(len(get.body))


async def test_the_host_header_decides_nothing(house):
    for host in (
        "evil.example",
        "proxy/healthz#",
        "proxy?/healthz",
        "@healthz",
        "[::1",
        "127.0.0.1:1/healthz",
    ):
        raw = http("GET", "/v1/models", key=None).replace(b"Host: localhost", b"Host: " + host.encode())
        assert (await house.send(raw)).status in {400, 401}, host
        raw = http("GET", "/metrics", key=None).replace(b"Host: localhost", b"Host: " + host.encode())
        assert (await house.send(raw)).status in {400, 404}, host
