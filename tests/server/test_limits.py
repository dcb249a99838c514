"""How much a request may bring, and how long it may take to bring it."""

import pytest

from proxy.server.visit import Limits
from tests.server.running import CHAT, KEY, House, chat, http, opened


def head(*headers, key=KEY):
    return http("POST", "/v1/chat/completions", headers=headers, key=key)


@pytest.fixture
async def tight():
    async with opened(
        House(limits=Limits(body_bytes=1000, body_s=0.05, header_s=0.05, idle_s=0.05))
    ) as running:
        yield running


async def test_an_announced_body_that_is_too_large_is_refused_unread(tight):
    reply = await tight.send(head(("Content-Length", "1001")))
    assert (reply.status, reply.code) == (413, "request_too_large")
    assert reply.headers["connection"] == "close"


async def test_a_body_that_grows_too_large_is_refused(tight):
    piece = b"200\r\n" + b"x" * 512 + b"\r\n"
    reply = await tight.send(head(("Transfer-Encoding", "chunked")) + piece * 3)
    assert (reply.status, reply.code) == (413, "request_too_large")


async def test_a_body_of_the_greatest_size_is_read(tight):
    body = chat().partition(b"\r\n\r\n")[2].ljust(1000)
    reply = await tight.send(http("POST", "/v1/chat/completions", body))
    assert reply.status == 200


async def test_a_body_that_does_not_arrive_in_time_is_408(tight):
    reply = await tight.send(head(("Content-Length", "500")) + b"{")
    assert (reply.status, reply.code) == (408, "request_timeout")
    assert reply.headers["connection"] == "close"
    assert not tight.calls


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: pro"])
async def test_a_head_that_does_not_arrive_in_time_ends_the_connection(sent):
    async with opened(House(limits=Limits(header_s=0.05))) as house:
        line = await house.connect()
        line.send(sent)
        assert await line.reader.read() == b""


async def test_the_head_s_deadline_does_not_touch_a_call_in_progress():
    """A call that lasts longer than a head may take is answered all the same."""
    async with opened(House(limits=Limits(header_s=0.01))) as house:
        other = await house.connect()

        async def answer(caller, call):
            # The other connection never says a word: once it is cut, the deadline has passed for both.
            await other.reader.read()
            await caller.start(200, {})
            await caller.finish()

        house.answer = answer
        assert (await house.send(chat())).status == 200


async def test_an_idle_connection_is_closed():
    async with opened(House(limits=Limits(idle_s=0.05))) as house:
        line = await house.connect()
        line.send(http("GET", "/healthz"))
        assert (await line.answer()).status == 200
        assert await line.reader.read() == b""


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x"])
async def test_an_encoded_body_is_415(house, encoding):
    reply = await house.send(chat(headers=[("Content-Encoding", encoding)]))
    assert (reply.status, reply.code) == (415, "unsupported_content_encoding")
    assert not house.calls


async def test_identity_is_no_encoding(house):
    assert (await house.send(chat(headers=[("Content-Encoding", "identity")]))).status == 200


async def test_a_caller_who_expects_to_be_told_to_continue_is_told(house):
    body = chat().partition(b"\r\n\r\n")[2]
    line = await house.connect()
    line.send(head(("Expect", "100-continue"), ("Content-Length", str(len(body)))))
    assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.send(body)
    assert (await line.answer()).status == 200


async def test_a_caller_who_may_not_continue_is_told_that_instead(house):
    for key, length, status in ((KEY, 10**12, 413), ("ft-nobody", 10, 401)):
        raw = head(("Expect", "100-continue"), ("Content-Length", str(length)), key=key)
        assert (await house.send(raw)).status == status


async def test_other_expectations_are_417(house):
    reply = await house.send(chat(headers=[("Expect", "200-ok")]))
    assert (reply.status, reply.code) == (417, "expectation_failed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"model": "gpt-4o"}',
        b"[" * 100_000,
        b'{"model":NaN}',
        b"\xef\xbb\xbf{}",
    ],
)
async def test_a_body_that_is_no_request_is_400(house, body):
    reply = await house.send(http("POST", "/v1/chat/completions", body))
    assert reply.status == 400
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}
    assert reply.json["error"]["type"] == "invalid_request_error"


async def test_too_many_or_too_long_headers_are_400(house):
    for extra in ([(f"x-{number}", "1") for number in range(200)], [("x-long", "x" * 9000)]):
        reply = await house.send(http("GET", "/healthz", headers=extra))
        assert (reply.status, reply.code) == (400, "bad_http")
    assert (await house.send(chat(CHAT))).status == 200


@pytest.mark.parametrize(
    "start", [b"X-A: ", b"X", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: "], ids=str
)
async def test_half_a_field_cannot_grow_without_end(house, start):
    """The parser keeps a field to itself until it is whole, in a head as in trailers."""
    line = await house.connect()
    line.send(head().removesuffix(b"\r\n") + start)
    for _ in range(16):
        line.send(b"a" * 65_536)
        await line.writer.drain()
    reply = await line.answer()
    assert (reply.status, reply.code) == (400, "bad_http")
    assert not house.calls
