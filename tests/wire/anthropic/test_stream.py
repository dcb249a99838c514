"""The reader beyond the golden cases: misshapen events, invented orders, what is counted when it is cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.call import Kind, Phase, Signal
from proxy.usage import Source, Usage
from proxy.wire.anthropic.dialect import Anthropic
from proxy.wire.dialect import Reply
from proxy.wire.sse import MAX_EVENT
from tests.wire.samples import DONE, HELLO, accumulate, make_call, make_upstream, read_whole

START = {
    "type": "message_start",
    "message": {
        "model": "claude-x-1",
        "content": [],
        "usage": {"input_tokens": 30, "cache_read_input_tokens": 12, "output_tokens": 1},
    },
}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
STOP = {"type": "message_stop"}


def says(text, index=0):
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


def sse(*events):
    return b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)


def reader(**call):
    return Anthropic().reader(make_call({**HELLO, "stream": True}, **call), make_upstream())


@pytest.mark.parametrize(
    "data",
    [
        b"data: 7\n\n",
        b"data: {\n\n",
        sse({"type": "message_start"}),
        sse(TEXT),
        sse(START, {**TEXT, "index": "0"}),
        sse(START, {**TEXT, "content_block": None}),
        sse(START, {**TEXT, "content_block": {"type": "text", "text": 7}}),
        sse(START, {**TEXT, "content_block": {"type": "tool_use", "id": "", "name": "x", "input": {}}}),
        sse(START, {**TEXT, "content_block": {"type": "tool_use", "id": "x", "name": "x", "input": [1]}}),
        sse(START, TEXT, {"type": "content_block_delta", "index": 0}),
        sse(
            START,
            TEXT,
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 1}},
        ),
        b"data: " + b"[" * 5000 + b"\n\n",
        b"data: " + b"x" * MAX_EVENT,
    ],
)
def test_a_misshapen_event_is_a_bad_answer_and_nothing_of_it_goes_out(data):
    following = reader()
    assert following.feed(data) + following.finish() == b""
    assert (following.failure.kind, following.failure.phase) == (Kind.BAD_ANSWER, Phase.HEADERS)
    assert not following.ended
    assert following.feed(sse(STOP)) == b""


def test_nothing_is_content_before_there_is_some():
    following = reader()
    assert following.feed(sse(START, {"type": "ping"}, TEXT, says(""))) == b""
    assert not following.content
    assert following.feed(sse(says("x"))) != b""
    assert following.content


def test_an_answer_cut_short_counts_its_input_as_told_and_its_output_as_seen():
    following = reader()
    following.feed(sse(START, TEXT, *[says("word ") for _ in range(20)]))
    following.finish()
    assert (following.failure.kind, following.failure.phase) == (Kind.TRUNCATED, Phase.CONTENT)
    assert following.usage == Usage(42, 25, cached=12, source=Source.OBSERVED)


def test_nothing_follows_the_end():
    out = read_whole(reader(), sse(START, TEXT, says("x"), STOP, says("y"), {"type": "error", "error": {}}))
    assert out.endswith(DONE)
    assert b'"y"' not in out


def test_half_an_emoji_is_not_lost():
    data = (
        sse(START, TEXT)
        + rb'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d"}}'
    )
    assert rb'"content":"\ud83d"' in read_whole(reader(), data + b"\n\n" + sse(STOP)).replace(b": ", b":")


KINDS = st.sampled_from(["text", "thinking", "tool_use", "redacted_thinking", "server_tool_use", "later"])
DELTAS = st.sampled_from(
    [
        {"type": "text_delta", "text": "x"},
        {"type": "thinking_delta", "thinking": "x"},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": "{}"},
        {"type": "signature_delta", "signature": "x"},
    ]
)
INDEXES = st.integers(0, 2)
EVENTS = st.one_of(
    st.just(START),
    st.builds(
        lambda index, kind: {**TEXT, "index": index, "content_block": {"type": kind, "id": "t", "name": "n"}},
        INDEXES,
        KINDS,
    ),
    st.builds(
        lambda index, delta: {"type": "content_block_delta", "index": index, "delta": delta}, INDEXES, DELTAS
    ),
    st.builds(lambda index: {"type": "content_block_stop", "index": index}, INDEXES),
    st.builds(
        lambda reason: {
            "type": "message_delta",
            "delta": {"stop_reason": reason},
            "usage": {"output_tokens": 3},
        },
        st.sampled_from(["end_turn", "tool_use", "refusal", "max_tokens", "later", None]),
    ),
    st.sampled_from([STOP, {"type": "ping"}, {"type": "later"}]),
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(EVENTS, max_size=12), st.booleans(), st.booleans())
def test_whatever_order_events_come_in_the_sdk_can_read_what_comes_out(events, asked, legacy):
    body = {**HELLO, "stream": True, **({"functions": [{"name": "n"}]} if legacy else {})}
    following = Anthropic().reader(make_call(body, include_usage=asked), make_upstream())
    out = read_whole(following, sse(START, *events))
    assert following.ended == out.endswith(DONE) == (following.failure is None)
    assert following.usage.total > 0
    if following.ended:
        chunks, whole = accumulate(out)
        message = whole.choices[0].message
        assert message.role == "assistant"
        assert whole.choices[0].finish_reason
        assert all(call.function.arguments for call in message.tool_calls or ())
        assert (chunks[-1].usage is not None) == asked


LEAVES = (
    st.none() | st.integers(-2, 2) | st.floats() | st.sampled_from(["", "x", "text", "tool_use", "refusal"])
)
NAMES = st.sampled_from(
    ["type", "text", "id", "name", "input", "content", "usage", "input_tokens", "iterations"]
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(ANYTHING, max_size=3), ANYTHING, ANYTHING)
def test_nothing_a_whole_answer_says_raises(blocks, usage, reason):
    answer = {
        "type": "message",
        "content": blocks,
        "usage": usage,
        "stop_reason": reason,
        "stop_details": usage,
    }
    made = Anthropic().reply(make_call(), make_upstream(), 200, {}, json.dumps(answer).encode())
    assert isinstance(made, Reply | Signal)
