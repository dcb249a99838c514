"""Answers that are nearly right: said twice, with comments between, with garbage behind."""

import json
import random

import pytest

from proxy.call import Kind, Signal
from proxy.wire import DIALECTS
from proxy.wire.dialect import Reply
from tests.wire.samples import DONE, accumulate, chunk, event, make_call, make_upstream, read_whole
from tests.wire.test_cases import FOLDERS, arrange, load

STREAMS = [folder for folder in FOLDERS if (folder / "reply.upstream.sse").exists()]
COMMENTS = (
    b": ping\n\n",
    b":\n\n",
    b": \xf0\x9f\x92\xa9\r\n\r\n",
    b": data: [DONE]\n\n",
    b"id: 7\nretry: 10\n\n",
)


@pytest.mark.fault("c14-comments")
@pytest.mark.parametrize("folder", STREAMS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_comments_between_events_neither_go_out_nor_change_what_is_read(folder):
    dialect, call, _, upstream = arrange(folder)
    dice = random.Random(folder.name)
    events = (folder / "reply.upstream.sse").read_bytes().split(b"\n\n")
    if not all(event.startswith((b"data:", b"event:")) for event in events if event):
        return  # not framed as events, or framed oddly on purpose
    noisy = b"".join(dice.choice(COMMENTS) + event + b"\n\n" for event in events if event)
    reader = dialect.reader(call, upstream)
    plain = read_whole(dialect.reader(call, upstream), b"\n\n".join(events))
    assert read_whole(reader, noisy) == plain
    assert plain.decode() == (folder / "reply.client.sse").read_text()
    assert (reader.failure is None) == (load(folder, "failure.json") is None)


@pytest.mark.fault("c6-double")
@pytest.mark.parametrize("dialect", ["openai", "vllm"])
def test_an_event_that_is_said_twice_goes_out_twice(dialect):
    """Who would take one away would one day take away a word that a model did say twice."""
    said = [chunk({"role": "assistant", "content": ""}), chunk({"content": " no"}), chunk({"content": " no"})]
    said += [said[-1], chunk({}, "stop"), DONE]
    reader = DIALECTS[dialect].reader(make_call(), make_upstream(dialect))
    assert read_whole(reader, b"".join(said)) == b"".join(said)
    assert reader.ended


CHOICE = b'{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}'
HEAD = b'{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[' + CHOICE + b"]"
WHOLE = HEAD + b"}"
NEARLY = {
    "garbage behind it": WHOLE + b"}",
    "another one behind it": WHOLE + WHOLE,
    "a page behind it": WHOLE + b"<html>",
    "bytes that are no text": HEAD + b',"x":"\xff\xfe"}',
    "a comma too many": HEAD + b",}",
    "half of it": WHOLE[: len(WHOLE) // 2],
    "depth without end": b"[" * 100_000,
    "a list": b"[" + WHOLE + b"]",
    "a text": b'"hi"',
    "nothing but space": b" \n ",
}


@pytest.mark.fault("b9-json")
@pytest.mark.parametrize("body", NEARLY.values(), ids=NEARLY.keys())
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_no_json_or_no_answer_is_a_bad_answer(dialect, body):
    headers = {"content-type": "application/json"}
    judged = DIALECTS[dialect].reply(make_call(), make_upstream(dialect), 200, headers, body)
    assert isinstance(judged, Signal)
    assert judged.kind is Kind.BAD_ANSWER


def test_without_those_it_is_an_answer():
    headers = {"content-type": "application/json"}
    assert isinstance(DIALECTS["openai"].reply(make_call(), make_upstream(), 200, headers, WHOLE), Reply)


def choice(message, finish="stop", **more):
    said = {"index": 0, "message": message, "finish_reason": finish, **more}
    return json.dumps({"choices": [said]}).encode()


def messages(content, reason):
    return json.dumps({"type": "message", "content": content, "stop_reason": reason}).encode()


DIED = {"message": "it died", "code": 502}
HOLLOW = {
    "half an answer and why it broke": ("openai", choice({"content": "hi"}, None, error=DIED)),
    "… which is called its end": ("openai", choice({"role": "assistant", "content": "hi"}, error=DIED)),
    "neither a word nor an end": ("openai", choice({}, None)),
    "… at more length": ("vllm", choice({"role": "assistant", "content": None, "tool_calls": []}, None)),
    "a number for a text": ("openai", choice({"content": 5})),
    "an object for a text": ("openai", choice({"content": {"text": "hi"}})),
    "a truth for a text": ("openai", choice({"content": True})),
    "a list for thoughts": ("vllm", choice({"content": "hi", "reasoning_content": 5})),
    "Claude's words without a word": ("anthropic", messages([], None)),
    "… and an empty one": ("anthropic", messages([{"type": "text", "text": ""}], None)),
}


@pytest.mark.fault("b10-inside")
@pytest.mark.parametrize(("dialect", "body"), HOLLOW.values(), ids=HOLLOW.keys())
def test_a_success_that_says_of_itself_that_it_is_none_is_no_answer(dialect, body):
    judged = DIALECTS[dialect].reply(make_call(), make_upstream(dialect), 200, {}, body)
    assert isinstance(judged, Signal)
    assert judged.kind in {Kind.BAD_ANSWER, Kind.OVERLOADED}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai", choice({"role": "assistant", "content": ""})),
        ("openai", choice({"role": "assistant", "content": None}, "length")),
        ("openai", choice({"role": "assistant", "content": "hi"}, None)),
        ("openai", choice({"role": "assistant", "content": "hi"}, error=None)),
        ("openai", choice({"role": "assistant", "content": None, "reasoning_content": "hm"}, None)),
        ("anthropic", messages([], "end_turn")),
        ("anthropic", messages([{"type": "text", "text": "hi"}], None)),
    ],
)
def test_an_answer_may_be_empty_or_lack_its_end_but_not_both(dialect, body):
    judged = DIALECTS[dialect].reply(make_call(), make_upstream(dialect), 200, {}, body)
    assert isinstance(judged, Reply)


@pytest.mark.parametrize("calls", [[], [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]])
def test_a_refusal_that_is_false_is_none(calls):
    body = choice({"role": "assistant", "content": "hi", "refusal": False, "tool_calls": calls})
    judged = DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, body)
    assert json.loads(judged.body)["choices"][0]["message"]["refusal"] is None


def test_a_refusal_that_is_true_is_no_text():
    body = choice({"role": "assistant", "content": "hi", "refusal": True, "tool_calls": []})
    assert DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, body).kind is Kind.BAD_ANSWER


def test_a_stream_of_claudes_that_neither_speaks_nor_says_why_it_stops_is_no_answer():
    said = event({"type": "message_start", "message": {}}) + event({"type": "message_stop"})
    reader = DIALECTS["anthropic"].reader(make_call(), make_upstream("anthropic"))
    assert read_whole(reader, said) == b""
    assert reader.failure.kind is Kind.BAD_ANSWER


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}])
def test_choices_that_are_null_never_reach_a_client_that_counts_them(usage):
    """The SDKs look through the choices of every chunk; of a null they make a `TypeError`."""
    nulls = json.loads(chunk({}).removeprefix(b"data: ")) | {"choices": None, "usage": usage}
    said = chunk({"role": "assistant", "content": "hi"}) + event(nulls) + chunk({}, "stop") + event(nulls)
    said += DONE
    reader = DIALECTS["openai"].reader(make_call(include_usage=True), make_upstream())
    out = read_whole(reader, said)
    assert reader.ended
    assert b'"choices":null' not in out.replace(b" ", b"")
    assert out.count(b'"choices":[]') == (1 if usage else 0)


def test_white_space_is_no_arguments_of_a_call():
    blank = b'{"id":"t","type":"function","function":{"name":"a","arguments":" \\n"}}'
    message = b'{"role":"assistant","content":null,"tool_calls":[' + blank + b"]}"
    body = WHOLE.replace(b'{"role":"assistant","content":"hi"}', message)
    reply = DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, body)
    assert b'"arguments":"{}"' in reply.body


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ((5, None, 5), (5, 0, 5)),
        ((5, 2, None), (5, 2, 7)),
        ((5, None, None), (5, 0, 5)),
        ((None, None, None), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("where", ["whole", "last", "with the finish"])
def test_a_count_that_is_null_is_none_to_the_caller(said, shown, where):
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    usage = dict(zip(names, said, strict=True)) | {"prompt_tokens_details": None}
    asked = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    told = chunk({}, "stop", **({"usage": usage} if where == "with the finish" else {}))
    if where == "last":
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        told += event({**head, "choices": [], "usage": usage})
    if where == "whole":
        body = HEAD + b',"usage":' + json.dumps(usage).encode() + b"}"
        got = json.loads(DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, body).body)["usage"]
    else:
        reader = DIALECTS["openai"].reader(make_call(asked), make_upstream())
        out = read_whole(reader, chunk({"role": "assistant", "content": "hi"}) + told + DONE)
        got = accumulate(out)[0][-1].usage.model_dump()
    assert tuple(got[name] for name in names) == shown


LONG = '{"wei":1000000000000000000001,"less":[-99999999999999999999,1.5]}'


def called(arguments):
    return [{"index": 0, "id": "x", "type": "function", "function": {"name": "pay", "arguments": arguments}}]


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("dialect", ["openai", "vllm"])
def test_arguments_that_come_as_an_object_keep_the_digits_of_their_integers(dialect, space):
    whole = choice({"role": "assistant", "content": None, "tool_calls": called("OBJECT")}, "tool_calls")
    whole = whole.replace(b'"arguments": "OBJECT"', f'"arguments":{space}{LONG}'.encode())
    reply = DIALECTS[dialect].reply(make_call(), make_upstream(dialect), 200, {}, whole)
    [call] = json.loads(reply.body)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == LONG
    said = chunk({"role": "assistant", "tool_calls": called("OBJECT")})
    said = said.replace(b'"arguments":"OBJECT"', f'"arguments":{space}{LONG}'.encode())
    reader = DIALECTS[dialect].reader(make_call(), make_upstream(dialect))
    out = read_whole(reader, said + chunk({}, "tool_calls") + DONE)
    assert accumulate(out)[1].choices[0].message.tool_calls[0].function.arguments == LONG


def test_a_call_of_claudes_that_begins_whole_keeps_the_digits_of_its_integers():
    block = {"type": "tool_use", "id": "x", "name": "pay", "input": json.loads(LONG)}
    said = event({"type": "message_start", "message": {}})
    said += event({"type": "content_block_start", "index": 0, "content_block": block})
    said += event({"type": "content_block_stop", "index": 0})
    said += event({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})
    reader = DIALECTS["anthropic"].reader(make_call(), make_upstream("anthropic"))
    out = read_whole(reader, said + event({"type": "message_stop"}))
    assert accumulate(out)[1].choices[0].message.tool_calls[0].function.arguments == LONG
