"""Who may have a WebSocket: the handshake, keys without headers, and pages of other sites."""

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack

import aiohttp
import pytest

from proxy.ports import Grant
from proxy.server.frames import Op
from proxy.server.visit import Limits
from tests.server.running import KEY, House, http, opened
from tests.server.sockets import PATH, connected, event, greeting, masked, request, said
from tests.server.test_slow_reader import slow_line

PAGE = "https://chat.example.com"
NONCE = "dGhlIHNhbXBsZSBub25jZQ=="
ASKED = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": NONCE,
}


def asked(changes=None, *, method="GET", key=KEY, body=None):
    headers = {name: value for name, value in (ASKED | (changes or {})).items() if value is not None}
    return http(method, PATH, body, key=key, headers=headers.items())


@pytest.fixture
async def house():
    async with opened(House(answer=greeting, origins=frozenset({PAGE}))) as running:
        yield running


async def test_the_standard_s_own_handshake(house):
    line = await house.connect()
    line.send(asked())
    status, headers = await line.head()
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (headers["upgrade"], headers["connection"]) == ("websocket", "Upgrade")
    assert headers["x-request-id"].startswith("req_")
    assert "sec-websocket-protocol" not in headers
    assert "sec-websocket-extensions" not in headers


REFUSED = {
    "no upgrade": ({"Upgrade": None}, 426, "upgrade_required"),
    "not asked of this hop": ({"Connection": None}, 426, "upgrade_required"),
    "another upgrade": ({"Upgrade": "h2c"}, 426, "upgrade_required"),
    "another version": ({"Sec-WebSocket-Version": "8"}, 426, "upgrade_required"),
    "no version": ({"Sec-WebSocket-Version": None}, 426, "upgrade_required"),
    "no nonce": ({"Sec-WebSocket-Key": None}, 400, "bad_request_head"),
    "a short nonce": ({"Sec-WebSocket-Key": "AAAA"}, 400, "bad_request_head"),
    "a nonce that is none": ({"Sec-WebSocket-Key": "ключ"}, 400, "bad_request_head"),
    "a body": ({"Content-Length": "5"}, 400, "bad_request_head"),
    "no length": ({"Transfer-Encoding": "chunked"}, 400, "bad_request_head"),
    "another subprotocol": ({"Sec-WebSocket-Protocol": "mqtt"}, 400, "unknown_subprotocol"),
    "another page": ({"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
    "a page in a sandbox": ({"Origin": "null"}, 403, "origin_not_allowed"),
    "our own host": ({"Origin": "http://proxy"}, 403, "origin_not_allowed"),
    "a page that is named by half": ({"Origin": PAGE + ".evil.example"}, 403, "origin_not_allowed"),
    "a key for one call": ({"Idempotency-Key": "k"}, 400, "bad_header"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_whoever_may_not_have_one_is_told_in_http(house, case):
    changes, status, code = REFUSED[case]
    line = await house.connect()
    line.send(asked(changes))
    reply = await line.answer()
    assert (reply.status, reply.code) == (status, code)
    assert "evil" not in reply.body.decode()
    if status == 426:
        assert (reply.headers["upgrade"], reply.headers["sec-websocket-version"]) == ("websocket", "13")
    assert (await house.send(http("GET", "/healthz"))).status == 200


async def test_a_post_is_no_websocket(house):
    reply = await house.send(asked(method="POST"))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


async def test_a_page_that_the_settings_name_is_let_in(house):
    async with connected(house, origin=PAGE) as socket:
        assert (await said(socket, request()))[-1]["type"] == "complete"


async def test_a_key_may_come_among_the_subprotocols_and_is_never_said_back(house):
    """The way of browsers, which can set no header."""
    async with connected(
        house, headers={}, protocols=["fallthrough", f"api-key.{KEY}"], origin=PAGE
    ) as socket:
        assert socket.protocol == "fallthrough"
        assert KEY not in str(socket._response.headers)
        assert (await said(socket, request()))[-1]["type"] == "complete"
    assert house.calls[0].identity.key_id == "key_1"


KEYS = {
    "none": [],
    "unknown": ["api-key.ft-nobody"],
    "empty": ["api-key."],
    "two": [f"api-key.{KEY}", "api-key.ft-nobody"],
    "twice the same": [f"api-key.{KEY}"] * 2,
    "in capitals": [f"API-KEY.{KEY}"],
}


@pytest.mark.parametrize("case", KEYS)
async def test_what_is_no_key_among_them_is_401(house, case):
    for names in (KEYS[case], ["fallthrough", *KEYS[case]]):
        line = await house.connect()
        line.send(asked({"Sec-WebSocket-Protocol": ", ".join(names) or None}, key=None))
        reply = await line.answer()
        assert (reply.status, reply.code) == (401, "invalid_api_key")
        assert KEY not in reply.body.decode()


async def test_a_key_must_not_be_in_doubt(house):
    line = await house.connect()
    line.send(asked({"Sec-WebSocket-Protocol": "fallthrough, api-key.other"}))
    assert (await line.answer()).status == 401


async def test_subprotocols_are_no_keys_but_of_a_websocket(house):
    headers = [("Sec-WebSocket-Protocol", f"fallthrough, api-key.{KEY}")]
    assert (await house.send(http("GET", "/v1/models", key=None, headers=headers))).status == 401


async def test_a_key_in_the_address_is_none(house):
    raw = asked(key=None).replace(PATH.encode(), f"{PATH}?api-key={KEY}".encode())
    assert (await house.send(raw)).status == 401


async def test_no_more_are_open_at_once_than_may_be():
    async with opened(House(answer=greeting, limits=Limits(sockets=1))) as house:
        async with connected(house):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with connected(house):
                    pass
        assert refused.value.status == 503
        async with connected(house) as socket:
            assert (await said(socket, request()))[-1]["type"] == "complete"


async def test_one_tenant_leaves_some_for_the_others():
    """They stay open for long: whoever could take all of them would keep everybody else out."""
    async with opened(House(answer=greeting, limits=Limits(sockets=4))) as house, AsyncExitStack() as stack:
        other = "ft-" + "fedcba9876543210" * 3
        house.keys.grants[hashlib.sha256(other.encode()).digest()] = Grant("key_2", "globex")
        for _ in range(3):
            await stack.enter_async_context(connected(house))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with connected(house):
                pass
        assert refused.value.status == 503
        async with connected(house, headers={"api-key": other}) as socket:
            assert (await said(socket, request()))[-1]["type"] == "complete"


# ── the connection beneath the calls ──────────────────────────────────────────────────────────────────


async def raw_socket(house, *texts):
    """A bare connection that has become a WebSocket, with something behind the very request for it."""
    line = await house.connect()
    line.send(asked() + b"".join(masked(Op.TEXT, json.dumps(text).encode()) for text in texts))
    assert (await line.head())[0] == 101
    return line


async def received(line):
    """One frame of ours."""
    first, size = await line.reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await line.reader.readexactly(2))
    return Op(first & 0x0F), await line.reader.readexactly(size)


async def test_what_comes_before_the_answer_is_not_lost(house):
    line = await raw_socket(house, request())
    while (frame := json.loads((await received(line))[1]))["type"] != "complete":
        assert frame["type"] in {"start", "chunk"}


async def test_a_stop_behind_a_request_keeps_the_call_from_beginning(house):
    line = await raw_socket(house, request(), {"type": "stop"}, request())
    assert json.loads((await received(line))[1])["error"]["code"] == "stopped"
    while json.loads((await received(line))[1])["type"] != "complete":
        pass
    assert len(house.calls) == 1


async def test_a_ping_is_answered_while_a_call_is_under_way(house):
    inside, go = asyncio.Event(), asyncio.Event()

    async def held(caller, call):
        inside.set()
        await go.wait()

    house.answer = held
    line = await raw_socket(house, request())
    await inside.wait()
    line.send(masked(Op.PING, b"beat"))
    assert await received(line) == (Op.PONG, b"beat")


async def test_a_close_is_answered_and_ends_the_connection(house):
    line = await raw_socket(house)
    line.send(masked(Op.CLOSE, (3000).to_bytes(2)))
    assert await received(line) == (Op.CLOSE, (3000).to_bytes(2))
    assert await line.reader.read() == b""


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (masked(Op.BINARY, b"x"), 1003),
        (b"\x81\x01x", 1002),
        (masked(Op.TEXT, b"\xff"), 1007),
        (masked(Op.CLOSE, b"\x00"), 1002),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
)
async def test_what_is_no_frame_closes_with_its_code_and_hangs_up(house, raw, code):
    gone = asyncio.get_running_loop().create_future()
    inside = asyncio.Event()

    async def held(caller, call):
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set_result(caller.gone)

    house.answer = held
    line = await raw_socket(house, request())
    await inside.wait()
    line.send(raw)
    op, data = await received(line)
    assert (op, int.from_bytes(data[:2])) == (Op.CLOSE, code)
    assert await gone is True
    line.writer.write_eof()
    assert await line.reader.read() == b""


@pytest.fixture
async def impatient():
    limits = Limits(ping_s=0.02, socket_idle_s=3600.0, body_s=0.05)
    async with opened(House(answer=greeting, limits=limits)) as running:
        yield running


async def test_a_silent_peer_is_pinged_and_then_given_up(impatient):
    line = await raw_socket(impatient)
    assert await received(line) == (Op.PING, b"")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        while True:
            await received(line)


async def test_a_peer_that_answers_pings_stays(impatient):
    async with connected(impatient, autoping=False) as socket:
        for _ in range(5):
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.PING
            await socket.pong(message.data)
        await socket.send_json(request())
        told = []
        while not told or told[-1]["type"] != "complete":
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                told.append(json.loads(message.data))
            else:
                await socket.pong(message.data)


async def test_a_message_that_never_ends_is_not_waited_for(impatient):
    """Though its sender answers every ping."""
    line = await raw_socket(impatient)
    line.send(masked(Op.TEXT, b"{", last=False))
    while (op_data := await received(line))[0] is Op.PING:
        line.send(masked(Op.PONG))
    assert (op_data[0], int.from_bytes(op_data[1][:2])) == (Op.CLOSE, 1008)


async def test_a_connection_over_which_nothing_is_asked_is_closed():
    limits = Limits(ping_s=0.02, socket_idle_s=0.05)
    async with opened(House(answer=greeting, limits=limits)) as house:
        async with connected(house) as socket:
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_a_caller_who_does_not_read_holds_up_its_call_and_no_memory(house):
    """The story is made to wait, and goes on when the caller reads."""
    full = asyncio.Event()
    total = 0

    async def talker(caller, call):
        nonlocal total
        await caller.start(200, {})
        while (pending := caller.write(event("x" * 16_384))) is None:
            total += 16_384
        full.set()
        await pending
        caller.write(event("at last") + b"data: [DONE]\n\n")
        await caller.finish()

    house.answer = talker
    raw, loop = await slow_line(house), asyncio.get_running_loop()
    await loop.sock_sendall(raw, asked() + masked(Op.TEXT, json.dumps(request()).encode()))
    await full.wait()
    assert total < 16 * 1024 * 1024
    got = b""
    while b'"type":"complete"' not in got[-1000:]:
        got += await loop.sock_recv(raw, 65_536)
    raw.close()
    assert b"at last" in got[-2000:]
    assert got.count(b"x" * 16_384) == total // 16_384 + 1


async def test_a_caller_who_takes_nothing_is_cut_off():
    ended = asyncio.get_running_loop().create_future()

    async def talker(caller, call):
        await caller.start(200, {})
        try:
            while True:
                await (caller.write(event("x" * 16_384)) or asyncio.sleep(0))
        finally:
            ended.set_result(caller.gone)

    async with opened(House(answer=talker, limits=Limits(stall_s=0.05))) as house:
        raw = await slow_line(house)
        text = masked(Op.TEXT, json.dumps(request()).encode())
        await asyncio.get_running_loop().sock_sendall(raw, asked() + text)
        assert await ended is True
        raw.close()


async def test_frames_that_do_not_wait_for_the_handshake_are_taken_or_refused_and_never_lost(house):
    """One that was cut off in silence would be waited for until the connection's minute was over."""
    small, large = (
        masked(Op.TEXT, json.dumps(request({"user": "u" * size})).encode()) for size in (9, 16_384)
    )
    line = await house.connect()
    line.send(asked() + small)
    assert (await line.head())[0] == 101
    line.close()
    line = await house.connect()
    line.send(asked() + large)
    answer = await line.answer()
    assert (answer.status, answer.code) == (400, "bad_request_head")
    assert await line.reader.read() == b""
    line.close()
