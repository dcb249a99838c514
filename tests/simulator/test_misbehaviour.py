"""Every key of `do`, as a client without an SDK sees it."""

import json

import aiohttp
import pytest

from proxy.simulator.playing import STILL
from tests.simulator.playing import HELLO, events, playing, record_sleeps, write

BOTH = pytest.mark.parametrize("name", ["openai", "vllm"])
BROKEN = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)


@pytest.fixture
def script(tmp_path):
    return tmp_path / "script.yaml"


def doing(name, do):
    return f"{name}: [{{do: {do}}}]"


@BOTH
async def test_well(script, name):
    """An answer names who spoke; a stream of it says the same, and ends as it should."""
    async with playing(script) as post:
        status, headers, body = await post(name)
        whole = json.loads(body)
        text = whole["choices"][0]["message"]["content"]
        assert (status, headers["content-type"]) == (200, "application/json")
        assert name in text
        assert name in whole["id"]
        status, headers, body = await post(name, stream=True, stream_options={"include_usage": True})
        *chunks, done = events(body)
        chunks = [json.loads(chunk) for chunk in chunks]
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert done == "[DONE]"
        assert chunks[-1]["usage"] == whole["usage"]
        assert chunks[-1]["choices"] == []
        assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        said = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks[:-1]]
        assert "".join(said) == text


async def test_usage_is_told_only_when_asked(script):
    async with playing(script) as post:
        _, _, body = await post("openai", stream=True)
        assert b"usage" not in body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("do", "expected", "headers"),
    [
        ("{status: 503}", 503, {}),
        ("{status: 529, error: overload}", 529, {}),
        ("{error: rate_limit, retry_after: 2s}", 429, {"retry-after": "2"}),
        ("{error: overload, retry_after: 250ms}", 503, {"retry-after": "0.25"}),
        ("{error: money}", 429, {}),
        ("{error: auth}", 401, {}),
        ("{error: model}", 404, {}),
        ("{error: server}", 500, {}),
        ("{error: context}", 400, {}),
    ],
)
@BOTH
async def test_an_error(script, name, do, expected, headers, stream):
    async with playing(script, doing(name, do)) as post:
        status, got, body = await post(name, stream=stream)
        assert status == expected
        assert headers.items() <= {key.lower(): value for key, value in got.items()}.items()
        assert json.loads(body)["error"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "start"), [("html", b"<html>"), ("empty", b""), ("json", b'{"hello"'), ("truncated", b'{"id"')]
)
async def test_garbage(script, kind, start, stream):
    async with playing(script, doing("openai", f"{{garbage: {kind}}}")) as post:
        status, _, body = await post("openai", stream=stream)
        assert status == 200
        assert body.startswith(start)
        assert b"finish_reason" not in body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset(script, stream, caplog):
    async with playing(script, doing("openai", "{reset: true}")) as post:
        with pytest.raises(BROKEN):
            await post("openai", stream=stream)
    assert caplog.records == []


async def test_a_whole_answer_cut_in_its_middle(script, caplog):
    async with playing(script, doing("openai", "{cut: 1}")) as post:
        with pytest.raises(BROKEN):
            await post("openai")
    assert caplog.records == []


async def start(post, name):
    """A stream whose head has come."""
    data = json.dumps(HELLO | {"stream": True})
    return await post.session.post(f"{post.base}/{name}/v1/chat/completions", data=data)


async def until_broken(response):
    body = b""
    with pytest.raises(BROKEN):
        while True:
            piece = await response.content.readany()
            assert piece or not response.content.at_eof()
            body += piece
    return body


@pytest.mark.parametrize("number", [1, 2, 5])
@BOTH
async def test_a_stream_cut_after_so_many_events(script, name, number, caplog):
    async with playing(script, doing(name, f"{{cut: {number}}}")) as post:
        async with await start(post, name) as response:
            assert len(events(await until_broken(response))) == number
    assert caplog.records == []


@BOTH
async def test_a_stream_that_stalls(script, name):
    """The third event never comes: instead of time, the pause that is asked for is looked at."""
    async with playing(script, doing(name, "{stall: 2, keep_alive: 1ms}")) as post:
        async with await start(post, name) as response:
            body = b""
            while body.count(b": keep-alive\n\n") < 3:
                body += await response.content.readany()
            assert len(events(body)) == 2
            assert body.endswith(b": keep-alive\n\n")


async def test_comments_come_before_the_first_token_too(script):
    async with playing(script, doing("vllm", "{first_token: 1h, keep_alive: 1ms}")) as post:
        async with await start(post, "vllm") as response:
            assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"


async def test_vllm_sends_its_status_before_the_first_token(script):
    """And the role with the token, not with the status."""
    async with playing(script, doing("vllm", "{first_token: 1h}")) as post:
        async with await start(post, "vllm") as response:
            assert response.status == 200
            assert response.content.total_bytes == 0


@pytest.mark.parametrize(("name", "ends"), [("openai", False), ("vllm", True)])
@pytest.mark.parametrize("number", [0, 2])
async def test_an_error_within_a_stream(script, name, ends, number):
    async with playing(script, doing(name, f"{{error_event: {number}}}")) as post:
        status, _, body = await post(name, stream=True)
        told = events(body)
        assert status == 200
        assert len(told) == number + 1 + ends
        error = json.loads(told[number])["error"]
        assert error["code"] == (500 if name == "vllm" else None)
        assert (told[-1] == "[DONE]") is ends


async def test_an_error_within_a_whole_success(script):
    async with playing(script, doing("openai", "{error_event: 0}")) as post:
        status, _, body = await post("openai")
        assert (status, list(json.loads(body))) == (200, ["error"])


async def test_a_stream_without_its_end(script):
    async with playing(script, doing("openai", "{no_done: true}")) as post:
        _, _, body = await post("openai", stream=True)
        assert json.loads(events(body)[-1])["choices"][0]["finish_reason"] == "stop"


@BOTH
async def test_a_length(script, name):
    async with playing(script, doing(name, "{tokens: 3}")) as post:
        _, _, body = await post(name)
        assert json.loads(body)["choices"][0]["message"]["content"] == " 1 2 3"
        _, _, body = await post(name, stream=True)
        assert len(events(body)) == 1 + 3 + 1 + 1


@pytest.mark.parametrize(
    ("do", "stream", "expected"),
    [
        ("{}", True, []),
        ("{delay: 5s}", False, [5.0]),
        ("{delay: 5s, status: 500}", False, [5.0]),
        ("{delay: 5s, first_token: 7s}", False, [5.0, 7.0]),
        ("{first_token: 7s, tokens: 1}", True, [7.0]),
        ("{first_token: 7s, chunk_delay: 20ms, tokens: 2}", True, [7.0, 0.02, 0.02, 0.02]),
        ("{stall: 0}", False, [STILL]),
        ("{stall: 2, tokens: 5}", True, [STILL]),
        ("{first_token: 2500ms, keep_alive: 1s, tokens: 1}", True, [1.0, 1.0, 0.5]),
    ],
)
async def test_pauses(script, monkeypatch, do, stream, expected):
    """Recorded, not waited for."""
    slept = record_sleeps(monkeypatch)
    async with playing(script, doing("openai", do)) as post:
        await post("openai", stream=stream)
    assert slept == pytest.approx(expected)


async def test_calls_are_counted_for_each_upstream(script):
    rule = "[{when: {call: 2}, do: {status: 500}}]"
    async with playing(script, f"one: {rule}\ntwo: {rule}") as post:
        assert [(await post(name))[0] for name in ("one", "two", "one", "one", "two")] == [
            200, 200, 500, 200, 500,
        ]  # fmt: skip


async def test_a_refused_request_is_no_call(script):
    async with playing(script, "one: [{when: {call: 1}, do: {status: 500}}]") as post:
        assert (await post("one", messages=[]))[0] == 400
        assert (await post("one"))[0] == 500


async def test_a_changed_script_comes_into_force_with_the_next_call(script, caplog):
    async with playing(script, "one: [{when: {call: 2}, do: {status: 500}}]") as post:
        assert (await post("one"))[0] == 200
        write(script, "one: [{when: {call: 1}, do: {status: 503}}]")
        assert [(await post("one"))[0] for _ in range(2)] == [503, 200]  # Counted anew.
        write(script, "one: [{do: {statuss: 500}}]")
        assert (await post("one"))[0] == 200
        assert "line 1: one[0].do.statuss" in caplog.text
        script.unlink()
        assert (await post("one"))[0] == 200
        write(script, "one: [{do: {status: 404}}]")
        assert (await post("one"))[0] == 404


async def test_models_are_listed(script):
    async with playing(script) as post:
        async with post.session.get(f"{post.base}/one/v1/models") as response:
            assert (await response.json())["data"][0]["id"] == "one-model"
