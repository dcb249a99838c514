"""Requests that no well-meaning caller sends: each is refused and the next good one works."""

import asyncio
import random

import pytest

from proxy.server.request import Headers, Request
from proxy.server.visit import Limits
from tests.server.running import KEY, House, chat, http, opened

BODY = chat().partition(b"\r\n\r\n")[2]
SIZE = str(len(BODY)).encode()
CHUNKED = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
START = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"
)


def framed(*lines, body=BODY):
    return START + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


REFUSED = {
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "http/0.9": b"GET /healthz HTTP/0.9\r\nHost: proxy\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "header without colon": framed(b"Nonsense", b"Content-Length: " + SIZE),
    "space before colon": framed(b"Content-Length : " + SIZE),
    "empty header name": framed(b": x", b"Content-Length: " + SIZE),
    "folded header": framed(b"X-A: 1\r\n 2", b"Content-Length: " + SIZE),
    "nul in a header": framed(b"X-A: a\0b", b"Content-Length: " + SIZE),
    "bare cr in a header": framed(b"X-A: a\rb", b"Content-Length: " + SIZE),
    "two lengths": framed(b"Content-Length: " + SIZE, b"Content-Length: 5"),
    "length and chunked": framed(b"Content-Length: " + SIZE, b"Transfer-Encoding: chunked", body=CHUNKED),
    "chunked and length": framed(b"Transfer-Encoding: chunked", b"Content-Length: " + SIZE, body=CHUNKED),
    "chunked not last": framed(b"Transfer-Encoding: chunked, identity", body=CHUNKED),
    "unknown coding": framed(b"Transfer-Encoding: xchunked", body=CHUNKED),
    "two codings": framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKED),
    "positive length": framed(b"Content-Length: +" + SIZE),
    "negative length": framed(b"Content-Length: -" + SIZE),
    "hexadecimal length": framed(b"Content-Length: 0x10"),
    "length with underscore": framed(b"Content-Length: 1_0"),
    "length list": framed(b"Content-Length: 5, 5"),
    "length in other digits": framed("Content-Length: \N{ARABIC-INDIC DIGIT FIVE}".encode()),
    "length beyond counting": framed(b"Content-Length: 99999999999999999999"),
    "a coding below chunked": framed(b"Transfer-Encoding: gzip, chunked", body=CHUNKED),
    "no host": framed(b"Content-Length: " + SIZE).replace(b"Host: proxy\r\n", b""),
    "two hosts": framed(b"Host: other", b"Content-Length: " + SIZE),
    "one host twice": framed(b"HOST: proxy", b"Content-Length: " + SIZE),
    "one letter twice": framed(b"hOST: p", b"Content-Length: " + SIZE).replace(b"Host: proxy", b"Host: p"),
    "chunk size that is none": framed(
        b"Transfer-Encoding: chunked", body=b"zz\r\n" + BODY + b"\r\n0\r\n\r\n"
    ),
    "negative chunk": framed(b"Transfer-Encoding: chunked", body=b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size beyond counting": framed(b"Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\nhello\r\n"),
    "bare lf in a chunk size": framed(b"Transfer-Encoding: chunked", body=b"5\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_malformed_request_is_refused_in_our_shape_and_ends_its_connection(house, case):
    line = await house.connect()
    line.send(REFUSED[case])
    reply = await line.answer()
    assert reply.status in {400, 413}, reply
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"].startswith("req_")
    assert b"canary" not in reply.body
    assert not house.calls
    line.writer.write_eof()
    assert b"HTTP/1.1 200" not in await line.reader.read()
    assert (await house.send(chat())).status == 200


async def test_garbage_behind_a_good_request_ends_the_connection(house):
    line = await house.connect()
    line.send(http("GET", "/healthz") + b"\0\0\0garbage\r\n\r\n")
    assert (await line.answer()).status in {200, 400}
    rest = await line.reader.read()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400")
    assert (await house.send(http("GET", "/healthz"))).status == 200


@pytest.mark.fault("c13-behind")
async def test_garbage_during_a_stream_does_not_touch_the_stream(house):
    """The caller's nonsense waits behind the answer, and is then refused."""
    said = asyncio.Event()

    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(b"data: 1\n\n")
        await said.wait()
        caller.write(b"data: [DONE]\n\n")
        await caller.finish()

    house.answer = answer
    line = await house.connect()
    line.send(chat({"stream": True}))
    await line.head()
    assert await line.chunk() == b"data: 1\n\n"
    line.send(b"\0\0\0garbage\r\n\r\n")
    await line.writer.drain()
    said.set()
    assert await line.chunks() == b"data: [DONE]\n\n"
    assert (await line.answer()).status == 400


async def test_what_follows_a_refused_body_is_never_taken_for_a_request(house):
    """A smuggled request inside the body of a refused one is not answered."""
    inner = http("GET", "/v1/models")
    line = await house.connect()
    line.send(http("POST", "/v1/chat/completions", inner, key="ft-nobody"))
    assert (await line.answer()).status == 401
    line.writer.write_eof()
    assert await line.reader.read() == b""


async def test_trailers_do_not_authenticate(house):
    raw = http("POST", "/v1/chat/completions", key=None, headers=[("Transfer-Encoding", "chunked")])
    raw += CHUNKED.removesuffix(b"\r\n") + b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n"
    assert (await house.send(raw)).status == 401


async def test_the_asked_path_may_be_an_absolute_address(house):
    raw = http("GET", "/v1/models").replace(b"GET /v1", b"GET http://evil.example/v1")
    assert (await house.send(raw)).status == 200
    raw = http("GET", "/v1/models", key=None).replace(b"GET /v1", b"GET http://evil.example/v1")
    assert (await house.send(raw)).status == 401
    raw = http("GET", "/v1/models").replace(b"GET /v1/models", b"GET http://evil.example?/v1/models")
    assert (await house.send(raw)).code == "unknown_path"


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
async def test_an_upgrade_that_is_not_offered_is_not_made(house, upgrade):
    """Such a request is answered, and ends its connection: nothing behind it is taken for a request."""
    headers = [("Connection", "Upgrade"), ("Upgrade", upgrade), ("Sec-WebSocket-Key", "AAAA")]
    for raw in (
        chat(headers=headers),
        chat({"stream": True}, headers=headers),
        http("GET", "/healthz", headers=headers),
    ):
        line = await house.connect()
        line.send(raw)
        assert (await line.answer()).status == 200
        assert await line.reader.read() == b""
    line = await house.connect()
    line.send(
        http("POST", "/v1/chat/completions", http("GET", "/v1/models"), headers=headers)
        + http("GET", "/healthz")
    )
    assert (await line.answer()).status == 400
    assert await line.reader.read() == b""


async def test_a_request_may_come_byte_by_byte(house):
    line = await house.connect()
    for number in range(len(chat())):
        line.send(chat()[number : number + 1])
        await line.writer.drain()
    assert (await line.answer()).status == 200


async def storm(rounds):
    """Seeded damage to good requests, 40 at once: connections end, with whole answers, never our fault."""
    dice = random.Random(20261121)
    good = chat(headers=[("X-Request-Timeout", "5s"), ("Accept", "*/*")])
    brief = Limits(body_s=0.02, header_s=0.02, idle_s=0.02, linger_s=0.02)
    async with opened(House(limits=brief)) as house:
        for _ in range(rounds):
            answers = await asyncio.gather(*(_all_said(house, damaged(good, dice)) for _ in range(40)))
            assert all(not answer or answer.startswith(b"HTTP/") for answer in answers)
            assert not any(b"HTTP/1.1 500" in answer or b"Traceback" in answer for answer in answers)
            # Each call that reached the story is one that its connection was answered for, and no more.
            assert len(house.calls) <= sum(answer.count(b"HTTP/1.1 200") for answer in answers)
            house.calls.clear()
        assert (await house.send(chat())).status == 200


async def test_damaged_requests_cost_neither_a_500_nor_the_next_caller():
    await storm(10)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_ten_thousand_damaged_requests_cost_neither_a_500_nor_the_next_caller():
    await storm(250)


def damaged(good, dice):
    raw = bytearray(good)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(raw))
        raw[at : at + dice.choice((0, 1, 1, 8))] = dice.randbytes(dice.choice((0, 1, 1, 4)))
    return bytes(raw)


async def _all_said(house, raw):
    line = await house.connect()
    line.send(raw)
    try:
        return await line.reader.read()
    except ConnectionResetError:
        return b""


def test_a_request_that_is_shown_shows_nothing_of_what_it_says():
    headers = Headers((b"Authorization",), (b"Bearer canary-key",))
    request = Request(100, lambda: None, "POST", b"/canary-path", "1.1", headers, keep=True)
    request.add([b"canary-", b"prompt"])
    assert "canary" not in repr(request)


def test_a_head_in_which_a_name_comes_again_keeps_every_value_in_order():
    headers = Headers((b"Host", b"X-A", b"hOST", b"x-a", b"HOST"), (b"a", b" 1\t", b"a", b"\xff", b"b"))
    assert (headers.count("host"), headers.all("host")) == (3, ["a", "a", "b"])
    assert (headers.get("x-a"), headers.all("x-a")) == ("1", ["1", "\udcff"])
    assert (headers.only("host"), headers.only("x-a"), headers.all("x-b")) == (None, None, [])
    assert Headers((b"X-A",), (b"1",)).only("x-a") == "1"
    assert "host" in headers
    assert "Host" not in headers
