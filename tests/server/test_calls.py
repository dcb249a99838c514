"""Chat completions: what the story is handed, and what the caller gets back."""

import asyncio
import gc

import pytest

from proxy.errors import Broken, Told, bad_request, unavailable
from proxy.server.request import Request
from tests.server.running import CHAT, House, chat, http, opened, whole


async def test_the_story_is_handed_the_call_as_it_was_asked(house):
    body = {"stream": True, "stream_options": {"include_usage": True}, "user": "anna", "x": 1}
    headers = [("X-Preferred-Upstream", "vllm"), ("X-Request-Timeout", "1500ms")]
    raw = chat(body, headers=headers)
    reply = await house.send(raw)
    (call,) = house.calls
    assert call.id == reply.headers["x-request-id"]
    when, chance = call.id.removeprefix("req_")[:14], call.id[-14:]
    assert (int(when, 16), int(chance, 16)) == (house.clock.wall_us(), 1)
    assert call.created == 1_800_000_000
    assert call.model == "gpt-4o"
    assert call.body == {**CHAT, **body}
    assert call.prompt_bytes == len(raw.partition(b"\r\n\r\n")[2])
    assert (call.stream, call.include_usage) == (True, True)
    assert (call.preferred, call.patience_s) == ("vllm", 1.5)
    assert (call.identity.tenant, call.identity.key_id) == ("acme", "key_1")


async def test_what_is_not_asked_for_is_not_assumed(house):
    await house.send(chat())
    (call,) = house.calls
    assert (call.stream, call.include_usage, call.preferred, call.patience_s) == (False, False, None, None)
    assert call.identity.user is None


async def test_a_user_is_known_by_pseudonym_only(house):
    await house.send(chat({"safety_identifier": "s-1", "user": "anna"}))
    await house.send(chat({"user": "anna"}))
    first, second = house.calls
    assert first.identity.user == await house.keys.pseudonym("acme", "s-1")
    assert second.identity.user == await house.keys.pseudonym("acme", "anna")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("30", 30.0), ("30s", 30.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("0.25", 0.25)],
)
async def test_patience_is_given_in_seconds_or_with_a_unit(house, given, seconds):
    await house.send(chat(headers=[("x-request-timeout", given)]))
    assert house.calls[0].patience_s == seconds


@pytest.mark.parametrize(
    ("name", "given", "seconds"),
    [
        ("x-stainless-read-timeout", "600", 600.0),
        ("x-stainless-read-timeout", "2.5", 2.5),
        ("x-stainless-timeout", "60", 60.0),
        ("x-stainless-read-timeout", "0", None),
        ("x-stainless-read-timeout", "NaN", None),
        ("x-stainless-read-timeout", "1e3", None),
        ("x-stainless-read-timeout", "5s", None),
        ("x-stainless-read-timeout", "not_given", None),
    ],
)
async def test_how_long_the_sdk_bears_silence_is_known_and_nonsense_is_no_fault(house, name, given, seconds):
    await house.send(chat(headers=[(name, given)]))
    assert house.calls[0].silence_s == seconds
    assert house.calls[0].patience_s is None


@pytest.mark.parametrize(
    ("given", "retries"), [(None, 0), ("0", 0), ("2", 2), ("-1", 0), ("two", 0), ("9" * 40, 0), ("٣", 0)]
)
async def test_what_the_sdk_tried_before_is_counted_and_nonsense_is_no_fault(house, given, retries):
    headers = [] if given is None else [("x-stainless-retry-count", given)]
    await house.send(chat(headers=headers))
    assert house.calls[0].retries == retries


@pytest.mark.parametrize(
    "header",
    [
        *(
            ("x-request-timeout", value)
            for value in ("0", "-1", "soon", "1e9", "nan", "inf", "\N{ARABIC-INDIC DIGIT THREE}", "9" * 40)
        ),
        *(("x-preferred-upstream", value) for value in ("", "http://evil/", "a b", "x" * 65)),
        *(("x-preferred-provider", value) for value in ("", "http://evil/", "x" * 65)),
        *(("x-preferred-model", value) for value in ("", "a b", "x" * 129)),
        *(("x-session-id", value) for value in ("", "a b", "x" * 256, "\xe9")),
        *(("x-user-consent", value) for value in ("", "yes", "1", "True", "true, true", "\xe9")),
    ],
)
async def test_a_header_that_makes_no_sense_is_400(house, header):
    reply = await house.send(chat(headers=[header]))
    assert (reply.status, reply.code) == (400, "bad_header")
    assert not house.calls


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"x-preferred-upstream": "vllm"}, "vllm"),
        ({"X-Preferred-Provider": "openai"}, "openai"),
        (
            {"X-Preferred-Model": "mistralai/Mixtral-8x7B-Instruct-v0.1"},
            "/mistralai/Mixtral-8x7B-Instruct-v0.1",
        ),
        ({"X-Preferred-Provider": "openai", "X-Preferred-Model": "gpt-4o"}, "openai/gpt-4o"),
        ({"X-Preferred-Provider": "openai", "x-preferred-upstream": "vllm"}, "vllm"),
    ],
)
async def test_which_target_to_try_first_is_said_in_our_words_or_in_those_of_older_programs(
    house, given, wanted
):
    await house.send(chat(headers=list(given.items())))
    assert house.calls[0].preferred == wanted


@pytest.mark.parametrize(
    ("given", "consent"), [((), None), (("true",), True), (("false",), False), ((" true ",), True)]
)
async def test_consent_is_said_in_two_words_or_not_at_all(house, given, consent):
    await house.send(chat(headers=[("X-User-Consent", value) for value in given]))
    assert house.calls[0].consent is consent


async def test_a_session_is_known_by_pseudonym_beside_its_person_or_without_one(house):
    for body in ({}, {"user": "ada"}):
        await house.send(chat(body, headers=[("X-Session-ID", "talk-1")]))
    await house.send(chat({"user": "ada"}))
    nobodys, adas, without = (call.identity for call in house.calls)
    assert (nobodys.user, without.session) == (None, None)
    assert adas.user == without.user == await house.keys.pseudonym("acme", "ada")
    assert nobodys.session != adas.session
    assert "talk-1" not in {nobodys.session, adas.session}


async def test_a_session_said_twice_is_400(house):
    headers = [("x-session-id", "a"), ("x-session-id", "a")]
    assert (await house.send(chat(headers=headers))).code == "bad_header"


async def test_consent_said_twice_is_400_even_if_it_is_the_same(house):
    for second in ("true", "false"):
        reply = await house.send(chat(headers=[("x-user-consent", "true"), ("x-user-consent", second)]))
        assert (reply.status, reply.code) == (400, "bad_header")


async def test_a_whole_answer_has_its_length(house):
    reply = await house.send(chat())
    assert reply.body == b'{"ok":true}'
    assert reply.headers["content-length"] == "11"
    assert reply.headers["content-type"] == "application/json"
    assert "transfer-encoding" not in reply.headers


async def test_a_stream_comes_chunk_by_chunk_uncompressed_and_unbuffered(house):
    """Each write is one chunk, whatever encodings the caller would take."""

    async def answer(caller, call):
        await caller.start(200, {"x-fallthrough-upstream": "openai"})
        assert caller.write(b"data: 1\n\n") is None
        caller.write(b"")
        caller.write(b"data: [DONE]\n\n")
        await caller.finish()

    house.answer = answer
    line = await house.connect()
    line.send(chat({"stream": True}, headers=[("Accept-Encoding", "gzip, deflate, br, zstd")]))
    status, headers = await line.head()
    assert [await line.chunk() for _ in range(3)] == [b"data: 1\n\n", b"data: [DONE]\n\n", b""]
    line.close()
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-fallthrough-upstream"] == "openai"
    assert not {"content-encoding", "content-length"} & set(headers)


async def test_an_old_caller_gets_its_stream_unframed_to_the_end(house):
    house.answer = _two_events
    line = await house.connect()
    line.send(chat({"stream": True}).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    _, headers = await line.head()
    assert "transfer-encoding" not in headers
    assert await line.reader.read() == b"data: 1\n\ndata: [DONE]\n\n"


async def _two_events(caller, call):
    await caller.start(200, {})
    caller.write(b"data: 1\n\n")
    caller.write(b"data: [DONE]\n\n")
    await caller.finish()


async def test_an_aborted_stream_has_no_last_chunk(house):
    """What was written arrives, then the connection ends so that nobody takes it for whole."""

    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(b"data: 1\n\n")
        caller.abort()

    house.answer = answer
    line = await house.connect()
    line.send(chat({"stream": True}))
    await line.head()
    assert await line.reader.read() == b"9\r\ndata: 1\n\n\r\n"


async def test_an_answer_that_the_story_forgot_to_finish_is_cut(house):
    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(b"data: 1\n\n")

    house.answer = answer
    line = await house.connect()
    line.send(chat({"stream": True}))
    await line.head()
    assert await line.reader.read() == b"9\r\ndata: 1\n\n\r\n"


async def test_a_failure_after_the_answer_began_cuts_the_connection(house):
    for error in (RuntimeError("canary"), Broken(Told(502, "broken", "server_error"))):

        async def answer(caller, call, error=error):
            await caller.start(200, {})
            caller.write(b"data: 1\n\n")
            raise error

        house.answer = answer
        line = await house.connect()
        line.send(chat({"stream": True}))
        try:
            rest = await line.reader.read()
        except ConnectionResetError:
            rest = b""
        assert b"\r\n0\r\n" not in rest
        assert b"canary" not in rest


async def test_one_connection_serves_call_after_call(house):
    line = await house.connect()
    for body in ({}, {"stream": True}, {"model": 1}, {}):
        line.send(chat(body))
        reply = await line.answer()
        assert reply.status == (400 if body.get("model") == 1 else 200)
    line.close()


async def test_while_a_connection_is_idle_nothing_is_kept_of_its_last_request(house):
    line = await house.connect()
    line.send(chat())
    assert (await line.answer()).status == 200
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Request)]
    line.send(chat())
    assert (await line.answer()).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_long_call_right_behind_an_answer_waits_until_that_is_settled(house, stream):
    """A caller who has the whole answer owes us no pause before the next prompt on the same connection."""
    settled = asyncio.Event()

    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(call.model.encode())
        await caller.finish()
        await settled.wait()

    house.answer = answer
    long = [{"role": "user", "content": "x" * 200_000}]
    line = await house.connect()
    line.send(chat({"model": "gpt-1", "stream": stream}))
    assert b"gpt-1" in (await line.answer()).body
    line.send(chat({"model": "gpt-2", "messages": long}))
    await house.send(http("GET", "/healthz"))  # by now all of it has come
    settled.set()
    assert (await line.answer()).body == b"gpt-2"
    assert house.calls[1].body["messages"] == long
    line.close()


async def test_pipelined_calls_are_answered_in_order(house):
    async def answer(caller, call):
        await caller.start(200, {})
        caller.write(call.model.encode())
        await caller.finish()

    house.answer = answer
    line = await house.connect()
    line.send(b"".join(chat({"model": f"gpt-{number}"}) for number in range(30)))
    got = [(await line.answer()).body for _ in range(30)]
    line.close()
    assert got == [f"gpt-{number}".encode() for number in range(30)]


@pytest.mark.parametrize("ahead", [1, 2])
async def test_a_body_that_comes_in_parts_behind_other_calls_is_whole(house, ahead):
    """What comes while another is answered waits, and is not forgotten."""
    begun, going = asyncio.Event(), asyncio.Event()
    last = chat({"user": "last"})

    async def answer(caller, call):
        begun.set()
        await going.wait()
        await whole(caller, call)

    house.answer = answer
    line = await house.connect()
    line.send(chat() * ahead + last[:-60])
    await line.writer.drain()
    await asyncio.wait_for(begun.wait(), 5)
    line.send(last[-60:-30])
    other = await house.connect()  # an answer over it shows that the server has read what was sent before
    other.send(http("GET", "/healthz"))
    assert (await other.answer()).status == 200
    going.set()
    for _ in range(ahead):
        assert (await line.answer()).status == 200
    line.send(last[-30:])
    assert (await line.answer()).status == 200
    assert house.calls[-1].body["user"] == "last"


async def test_a_caller_s_own_request_id_is_echoed_if_it_is_fit_to_be_shown(house):
    for given, shown in (("trace-42", "trace-42"), ("x" * 512, "x" * 512), ("x" * 513, None), ("é", None)):
        for raw in (
            chat(headers=[("X-Client-Request-Id", given)]),
            http("GET", "/nowhere", headers=[("X-Client-Request-Id", given)]),
        ):
            reply = await house.send(raw)
            assert reply.headers.get("x-client-request-id") == shown
            assert reply.headers["x-request-id"].startswith("req_")


async def test_a_large_body_is_parsed_too(house):
    text = "x" * 600_000
    reply = await house.send(chat({"messages": [{"role": "user", "content": text}]}))
    assert reply.status == 200
    assert house.calls[0].body["messages"][0]["content"] == text


async def test_the_transport_hints_of_a_refusal_are_rendered():
    failures = {
        "wait": (unavailable("later", "ledger_unavailable", retry_after_s=1.2), ("2", "1200", "true")),
        "long": (unavailable("later", "x", retry_after_s=400), ("400", "400000", "false")),
        "plain": (bad_request("no", param="messages"), (None, None, None)),
    }

    async def answer(caller, call):
        raise failures[call.model][0]

    async with opened(House(answer=answer)) as house:
        for model, (failure, hints) in failures.items():
            reply = await house.send(chat({"model": model}))
            assert reply.status == failure.told.status
            names = ("retry-after", "retry-after-ms", "x-should-retry")
            assert tuple(reply.headers.get(name) for name in names) == hints


async def test_further_headers_of_a_refusal_are_passed_on(house):
    async def answer(caller, call):
        told = Told(
            429, "spent", "requests", "rate_limit_exceeded", headers=(("x-ratelimit-limit-requests", "60"),)
        )
        raise Broken(told)

    house.answer = answer
    reply = await house.send(chat())
    assert (reply.status, reply.headers["x-ratelimit-limit-requests"]) == (429, "60")
