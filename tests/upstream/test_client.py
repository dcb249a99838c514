"""What each error of the network becomes, played byte by byte on a raw socket."""

import random
import socket

import pytest

from proxy.call import Kind, Phase, UpstreamLost, UpstreamRequest
from tests.kit.scripted import scripted
from tests.upstream.sending import CHUNKED, GOOD, at, failure, fetch, opened, poured, started

OK = b"HTTP/1.1 200 OK\r\n"
SENT = (Kind.RESET, Phase.SENT)
CUT = (Kind.RESET, Phase.HEADERS)
GARBLED = (Kind.BAD_ANSWER, Phase.SENT)
ENCODED = (Kind.BAD_ANSWER, Phase.HEADERS)


async def answered(out, up, data, reset=False):
    """Play `data` at a first call, then close; the task of the call."""
    task = started(fetch(out, up.url))
    conn = await up.accept()
    await conn.request()
    conn.send(data)
    conn.rst() if reset else conn.close()
    return task


@pytest.mark.fault("a2-refused")
async def test_refused(out):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        found = await failure(fetch(out, f"http://127.0.0.1:{sock.getsockname()[1]}"))
    assert found == (Kind.UNREACHABLE, Phase.CONNECT)


@pytest.mark.fault("a7-reset", "a11-interim", "a12-head")
@pytest.mark.parametrize(
    ("data", "reset", "expected"),
    [
        (b"", False, SENT),
        (b"", True, SENT),
        (b"HTTP/1.1 200 OK\r\nx", False, SENT),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False, SENT),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, False, GARBLED),
        (b"nonsense\r\n\r\n", False, GARBLED),
        (b"just a body without a head\n", False, GARBLED),
        (b"HTTP/1.1 99999 OK\r\n\r\n", False, GARBLED),
        (OK + b"x: a\0b\r\n\r\n", False, GARBLED),
        (OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n", False, GARBLED),
        (OK + b"x: y\r\n" * 2000 + b"\r\n", False, GARBLED),
        (b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\n\r\n", False, GARBLED),
        (OK + b"content-length: x\r\n\r\n", False, GARBLED),
        (OK + b"content-length: -2\r\n\r\nok", False, GARBLED),
        (OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!", False, GARBLED),
        (OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False, GARBLED),
        (CHUNKED, False, CUT),
        (OK + b"content-length: 9\r\n\r\nabc", False, CUT),
        (OK + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx", False, ENCODED),
        (OK + b"content-encoding: zstd\r\ntransfer-encoding: chunked\r\n\r\n", False, ENCODED),
    ],
)  # fmt: skip
async def test_the_table_of_errors(out, data, reset, expected):
    async with scripted() as up:
        assert await failure(await answered(out, up, data, reset)) == expected
        assert len(up.connections) == 1  # A first connection is never tried again.


@pytest.mark.parametrize("end", range(len(b"3\r\nabc\r\n0\r\n")))
async def test_a_cut_chunked_body_never_looks_whole(out, end):
    async with scripted() as up:
        assert await failure(await answered(out, up, CHUNKED + b"3\r\nabc\r\n0\r\n"[:end])) == CUT


@pytest.mark.parametrize("end", range(len(b"abc")))
@pytest.mark.parametrize("reset", [False, True])
async def test_a_body_shorter_than_told_never_looks_whole(out, end, reset):
    async with scripted() as up, opened(out, up, OK + b"content-length: 3\r\n\r\n") as (answer, conn):
        conn.send(b"abc"[:end])
        conn.rst() if reset else conn.close()
        assert await failure(answer.whole(1000)) == CUT


@pytest.mark.parametrize(
    "data", [b"zz\r\n", b"3\r\nabcXX", b"-1\r\n", b"f" * 20 + b"\r\n", b"0\r\nx\0: y\r\n\r\n"], ids=str
)
async def test_wrong_framing_within_a_body_fails_at_once(out, data):
    """The upstream keeps its side open: a reader that waited for it would wait for ever."""
    async with scripted() as up, opened(out, up, CHUNKED + b"3\r\nabc\r\n") as (answer, conn):
        assert await poured(answer, 3) == b"abc"
        conn.send(data)
        assert await failure(answer.whole(1000)) == CUT
        await conn.eof()


@pytest.mark.parametrize("start", [b"1;x=", b"0\r\nx: "], ids=str)
async def test_framing_around_nothing_ends_an_answer(out, start):
    """The parser keeps a trailer to itself until it is whole."""
    async with scripted() as up, opened(out, up, CHUNKED + b"3\r\nabc\r\n" + start) as (answer, conn):
        conn.send(b"a" * 70_000)
        assert await failure(answer.whole(1000)) == CUT
        await conn.eof()


@pytest.mark.fault("a11-interim", "a11-redirect")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD, (200, b"ok")),
        (CHUNKED + b"1;x=y\r\no\r\n1\r\nk\r\n0\r\ntrailer: 1\r\n\r\n", (200, b"ok")),
        (CHUNKED + b"2\r\nok\r\n0\r\ncontent-encoding: gzip\r\n\r\n", (200, b"ok")),
        (OK + b"\r\nuntil the end", (200, b"until the end")),
        (OK + b"content-encoding: identity\r\ncontent-length: 2\r\n\r\nok", (200, b"ok")),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + GOOD, (200, b"ok")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + GOOD, (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 529 Full\r\ncontent-length: 2\r\n\r\nno", (529, b"no")),
        (b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n", (302, b"")),
        (b"HTTP/1.1 307 Temporary\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n", (307, b"")),
    ],
)  # fmt: skip
async def test_what_is_handed_on_as_it_came(out, data, expected):
    """Interim answers are passed over, and no redirect is followed."""
    async with scripted() as up:
        assert await (await answered(out, up, data)) == expected
        assert len(up.connections) == 1


async def test_headers_come_by_lower_case_name(out):
    async with scripted() as up:
        data = OK + b"Retry-After: 7\r\nX-Odd: \xff\r\ncontent-length: 0\r\n\r\n"
        async with opened(out, up, data) as (answer, _):
            assert answer.headers["retry-after"] == "7"
            assert all(name == name.lower() for name in answer.headers)


async def test_only_framing_is_added_to_a_request(out):
    headers = (("authorization", "Bearer sk-1"), ("content-type", "application/json"), ("x-own", "ü"))
    async with scripted() as up:

        async def send():
            async with out.send(at(up.url + "/v1"), UpstreamRequest("/chat?a=%2F", headers, b"{}")):
                pass

        task = started(send())
        conn = await up.accept()
        head, _, body = (await conn.request()).partition(b"\r\n\r\n")
        conn.send(GOOD)
        await task
    first, *lines = head.split(b"\r\n")
    assert first == b"POST /v1/chat?a=%2F HTTP/1.1"
    assert body == b"{}"
    assert {line.partition(b":")[0].lower() for line in lines} == {
        b"host", b"content-length", b"authorization", b"content-type", b"x-own",
    }  # fmt: skip


async def storm(out, answers):
    """Golden bytes with a few of them changed: an answer or a loss comes out, and nothing hangs."""
    dice = random.Random(7)
    golden = CHUNKED + b"c\r\ndata: {}\n\nda\r\n6\r\nta: 1\n\r\n0\r\n\r\n"
    for _ in range(answers):
        data = bytearray(golden)
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        async with scripted() as up:
            task = await answered(out, up, bytes(data[: dice.randint(1, len(data))]))
            try:
                status, body = await task
            except UpstreamLost:
                continue
            assert isinstance(status, int)
            assert isinstance(body, bytes)


async def test_any_answer_is_an_answer_or_a_loss(out):
    await storm(out, 150)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_any_of_ten_thousand_answers_is_an_answer_or_a_loss(out):
    await storm(out, 10_000)


async def test_a_sending_that_is_shown_shows_nothing_of_what_it_sends(out):
    request = UpstreamRequest("/chat", (("authorization", "Bearer canary"),), b"canary")
    assert "canary" not in repr(out.send(at("http://upstream.test"), request))
