"""Calls over a WebSocket: the same calls, with frames of JSON for events and a `stop` for a hang-up."""

import json

import aiohttp
import pytest

from proxy.errors import Told, unavailable
from proxy.server.conversation import STOPPED
from proxy.server.gate import Gate
from proxy.server.visit import Limits
from proxy.wire.failure import error_event
from tests.server.running import CHAT, KEY, FakeKeys, House, chat, opened
from tests.server.sockets import HEADS, LAST, Held, connected, event, frames, greeting, request, said
from tests.server.twins import Scripted, until


@pytest.fixture
async def house():
    async with opened(House(answer=greeting)) as running:
        yield running


async def test_a_call_is_told_in_frames(house):
    async with connected(house) as socket:
        start, one, two, end, complete = await said(socket, request())
    assert start["type"] == "start"
    assert start["id"] == house.calls[0].id == complete["id"]
    assert (start["upstream"], start["model"]) == ("openai", "gpt-4o-2024")
    assert start["headers"]["x-ratelimit-remaining-requests"] == "7"
    assert [each["type"] for each in (one, two, end)] == ["chunk"] * 3
    assert [each["data"]["choices"][0]["delta"].get("content") for each in (one, two, end)] == [
        "Hel", "lo", None,
    ]  # fmt: skip
    assert complete["finish_reason"] == "stop"
    assert complete["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}


async def test_a_call_over_a_websocket_is_a_stream_with_its_usage(house):
    """The upstream is always asked for the usage; its chunk is shown only to who asked for it."""
    async with connected(house) as socket:
        await said(socket, request())
        shown = await said(socket, request({"stream": True, "stream_options": {"include_usage": True}}))
        refused = await said(socket, request({"stream": False}))
    assert shown[-2]["data"]["usage"] == shown[-1]["usage"]
    assert [(call.stream, call.include_usage) for call in house.calls] == [(True, True)] * 2
    assert house.calls[0].identity.tenant == "acme"
    assert house.calls[0].body["messages"] == CHAT["messages"]
    assert refused[0]["error"]["param"] == "stream"


async def test_calls_follow_one_another_over_one_connection(house):
    async with connected(house) as socket:
        ids = [(await said(socket, request()))[0]["id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert [call.id for call in house.calls] == ids


async def test_one_request_waits_for_the_one_before_it_and_no_more(house):
    house.answer = held = Held()
    async with connected(house) as socket:
        for _ in range(2):
            await socket.send_json(request())
        await held.inside.wait()
        held.go.set()
        first, second = await frames(socket), await frames(socket)
        assert first[-1]["type"] == second[-1]["type"] == "complete"
        held.go.clear()
        held.inside.clear()
        await socket.send_json(request())
        await held.inside.wait()
        for _ in range(2):
            await socket.send_json(request())
        await until(lambda: held.gone is not None)
        assert held.gone
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_chunk_goes_out_the_moment_it_is_said(house):
    house.answer = held = Held()
    async with connected(house) as socket:
        await socket.send_json(request())
        assert (await socket.receive_json())["type"] == "start"
        assert (await socket.receive_json())["data"]["choices"][0]["delta"] == {"content": "one"}
        assert not held.go.is_set()


# ── a hang-up ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("begin", [True, False])
async def test_a_stop_hangs_up_on_the_call_and_not_on_the_connection(house, begin):
    house.answer = held = Held(begin=begin)
    async with connected(house) as socket:
        await socket.send_json(request())
        await held.inside.wait()
        await socket.send_json({"type": "stop"})
        last = (await frames(socket))[-1]
        assert (last["type"], last["error"]["code"]) == ("error", "stopped")
        assert last["status"] == (None if begin else STOPPED.status)
        assert last["request_id"] == house.calls[0].id
        assert held.gone is True
        house.answer = greeting
        assert (await said(socket, request()))[-1]["type"] == "complete"


async def test_a_stop_takes_back_the_request_that_waits(house):
    house.answer = held = Held()
    async with connected(house) as socket:
        for frame in (request(), request(), {"type": "stop"}):
            await socket.send_json(frame)
        await held.inside.wait()
        await socket.ping()
        await until(lambda: house.calls)
        held.go.set()
        assert (await frames(socket))[-1]["type"] == "complete"
        assert (await frames(socket))[-1]["error"]["code"] == "stopped"
    assert len(house.calls) == 1


async def test_a_stop_with_nothing_to_stop_says_nothing(house):
    async with connected(house) as socket:
        await socket.send_json({"type": "stop"})
        assert (await said(socket, request()))[0]["type"] == "start"


@pytest.mark.parametrize("begin", [True, False])
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_caller_who_leaves_is_gone_in_any_phase(house, begin, how):
    house.answer = held = Held(begin=begin)
    async with connected(house) as socket:
        await socket.send_json(request())
        await held.inside.wait()
        if how == "close":
            await socket.close()
        else:
            socket._response.connection.transport.abort()
        await until(lambda: held.gone is not None)
    assert held.gone is True
    await until(lambda: not house.gate.live)


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_failure_before_the_answer_is_an_error_frame_with_what_http_would_say(house):
    async def refused(caller, call):
        raise unavailable("not now", "overloaded", retry_after_s=2.0)

    house.answer = refused
    async with connected(house) as socket:
        (error,) = await said(socket, request())
    assert error["error"] == {
        "message": "not now", "type": "server_error", "param": None, "code": "overloaded",
    }  # fmt: skip
    assert (error["status"], error["request_id"]) == (503, house.calls[0].id)
    assert error["headers"] == {"retry-after": "2", "retry-after-ms": "2000", "x-should-retry": "true"}


async def test_a_stream_that_breaks_ends_with_an_error_and_never_with_complete(house):
    async def broken(caller, call):
        await caller.start(200, HEADS)
        caller.write(event("one") + error_event(Told(502, "it broke", "server_error", "upstream_broken")))
        await caller.finish()

    house.answer = broken
    async with connected(house) as socket:
        told = await said(socket, request())
        assert [each["type"] for each in told] == ["start", "chunk", "error"]
        assert (told[-1]["error"]["code"], told[-1]["status"]) == ("upstream_broken", None)
        house.answer = greeting
        assert (await said(socket, request()))[-1]["type"] == "complete"


async def test_an_answer_that_is_cut_is_never_complete(house):
    async def cut(caller, call):
        await caller.start(200, HEADS)
        caller.write(event("one"))
        caller.abort()

    async def unfinished(caller, call):
        await caller.start(200, HEADS)
        caller.write(event("one"))
        await caller.finish()

    async with connected(house) as socket:
        for house.answer in (cut, unfinished):
            assert (await said(socket, request()))[-1]["error"]["code"] == "stream_cut"


async def test_a_defect_is_told_by_its_id_alone(house, caplog):
    async def defective(caller, call):
        raise RuntimeError("canary-secret")

    house.answer = defective
    async with connected(house) as socket:
        (error,) = await said(socket, request())
    assert (error["status"], error["error"]["code"]) == (500, "internal_error")
    assert error["request_id"] in error["error"]["message"]
    assert "canary" not in json.dumps(error)
    assert any(record.request_id == error["request_id"] for record in caplog.records)


BAD = {
    "no json": ("nonsense canary", "invalid_json", None),
    "a list": ("[]", "invalid_json", None),
    "no type": ('{"body":{}}', "bad_frame", "type"),
    "another type": ('{"type":"canary"}', "bad_frame", "type"),
    "a stop with more": ('{"type":"stop","id":"canary"}', "bad_frame", "type"),
    "an unknown member": (json.dumps(request() | {"canary": 1}), "bad_frame", None),
    "no body": ('{"type":"request"}', "bad_frame", "body"),
    "a body that is a text": ('{"type":"request","body":"canary"}', "bad_frame", "body"),
    "no messages": ('{"type":"request","body":{"model":"gpt-4o"}}', "missing_required_parameter", "messages"),
    "headers that are none": (json.dumps(request() | {"headers": 3}), "bad_frame", "headers"),
    "a header that is said twice": (
        json.dumps(request(**{"X-User-Consent": "false", "x-user-consent": "true"})),
        "bad_frame",
        "headers",
    ),
    "a header that may not be said": (json.dumps(request(authorization="x")), "bad_frame", "headers"),
    "a header that is no text": (json.dumps(request(**{"x-user-consent": True})), "bad_frame", "headers"),
    "a header that makes no sense": (json.dumps(request(**{"x-user-consent": "canary"})), "bad_header", None),
    "too deep": ('{"type":"request","body":' + "[" * 70 + "]" * 70 + "}", "body_too_deep", None),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_frame_is_told_and_the_next_good_one_works(house, case):
    text, code, param = BAD[case]
    async with connected(house) as socket:
        await socket.send_str(text)
        (error,) = await frames(socket)
        assert (error["status"], error["error"]["code"]) == (400, code)
        if param is not None:
            assert error["error"]["param"] == param
        assert "canary" not in json.dumps(error)
        assert (await said(socket, request()))[-1]["type"] == "complete"
    assert len(house.calls) == 1


async def test_a_text_beyond_the_limit_closes_the_connection():
    async with opened(House(answer=greeting, limits=Limits(body_bytes=10_000))) as house:
        async with connected(house) as socket:
            await socket.send_json(request({"messages": [{"role": "user", "content": "x" * 10_000}]}))
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1009)
    assert not house.calls


async def test_a_large_request_is_read_beside_the_loop(house):
    async with connected(house) as socket:
        body = {"messages": [{"role": "user", "content": "x" * 400_000}]}
        assert (await said(socket, request(body)))[-1]["type"] == "complete"


# ── who, and with what words ──────────────────────────────────────────────────────────────────────────


async def test_a_key_is_looked_at_anew_for_every_call(house):
    async with connected(house) as socket:
        assert (await said(socket, request()))[-1]["type"] == "complete"
        house.keys.grants.clear()
        (error,) = await said(socket, request())
    assert (error["status"], error["error"]["code"]) == (401, "invalid_api_key")


async def test_headers_of_the_handshake_are_for_all_calls_and_a_frame_has_the_last_word(house):
    headers = {"api-key": KEY, "x-user-consent": "false", "x-preferred-upstream": "vllm"}
    async with connected(house, headers=headers) as socket:
        await said(socket, request())
        await said(socket, request(**{"X-User-Consent": "true", "x-request-timeout": "5s"}))
    assert [(call.consent, call.preferred, call.patience_s) for call in house.calls] == [
        (False, "vllm", None),
        (True, "vllm", 5.0),
    ]


async def test_a_session_may_be_that_of_the_connection(house):
    async with connected(house, headers={"api-key": KEY, "x-session-id": "talk-1"}) as socket:
        await said(socket, request())
        await said(socket, request())
        await said(socket, request(**{"x-session-id": "talk-2"}))
    one, again, two = (call.identity.session for call in house.calls)
    assert one == again != two


async def test_an_end_person_is_known_by_pseudonym(house):
    async with connected(house) as socket:
        await said(socket, request({"user": "ada"}))
    assert house.calls[0].identity.user == await FakeKeys().pseudonym("acme", "ada")


async def test_a_key_for_one_call_makes_one_call_over_http_and_websockets(house):
    house.answer = Scripted(house)
    frame = request(**{"idempotency-key": "order-1"})
    whole = {"stream": True, "stream_options": {"include_usage": True}}
    async with connected(house) as socket:
        await socket.send_json(frame)
        telling = await house.answer.telling()
        telling.say(event("one"), LAST, telling_end())
        first = await frames(socket)
        await until(lambda: not house.twins._shared)
        again = await said(socket, frame)
        other = await house.send(chat(whole, headers=[("Idempotency-Key", "order-1")]))
        reused = await said(socket, request({"n": 2}, **{"idempotency-key": "order-1"}))
    assert first[1:-1] == again[1:-1]
    assert again[0]["headers"]["x-fallthrough-replayed"] == "true"
    assert other.body.endswith(LAST)
    assert reused[0]["status"] == 422
    assert len(house.calls) == 1


def telling_end():
    from tests.server.twins import END

    return END


async def test_a_full_gate_refuses_the_call_and_keeps_the_connection():
    async with opened(House(answer=Held(), gate=Gate(1))) as house:
        async with connected(house) as one, connected(house) as two:
            await one.send_json(request())
            await house.answer.inside.wait()
            (error,) = await said(two, request())
            assert (error["status"], error["error"]["code"]) == (503, "overloaded")
            house.answer.go.set()
            await frames(one)
            assert (await said(two, request()))[-1]["type"] == "complete"
