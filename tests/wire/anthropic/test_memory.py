"""An answer's thoughts come back as they were: from the upstream, past the caller, and up again."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.anthropic.dialect import Anthropic
from proxy.wire.anthropic.memory import MOST, Keeping
from proxy.wire.anthropic.messages import wire_id
from tests.wire.samples import HELLO, accumulate, make_call, make_target, make_upstream, read_whole

START = {"type": "message_start", "message": {"model": "claude-x-1", "content": []}}
DELTAS = {"text": "text_delta", "thinking": "thinking_delta"}
TOOLS = [{"type": "function", "function": {"name": "weather"}}]
ASK = {"role": "user", "content": "Weather?"}

PIECES = st.lists(st.sampled_from(["", " ", "Look. ", "\n\n", "é", "\U0001f600"]), max_size=4)
SAID = st.one_of(
    PIECES.map(lambda pieces: {"type": "text", "text": "".join(pieces)}),
    st.builds(
        lambda pieces, signature: {
            "type": "thinking",
            "thinking": "".join(pieces),
            "signature": signature,
        },
        PIECES,
        st.sampled_from(["sig-1", "sig-2=="]),
    ),
    st.sampled_from(["zzz", "yyy"]).map(lambda data: {"type": "redacted_thinking", "data": data}),
)
CALLED = st.lists(
    st.sampled_from(["toolu_1", "toolu_2", "odd:id", "x" * 80]), min_size=1, max_size=3, unique=True
)
ANSWERS = st.builds(
    lambda said, ids: [
        *said,
        *({"type": "tool_use", "id": one, "name": "weather", "input": {"city": one}} for one in ids),
    ],
    st.lists(SAID, max_size=6),
    CALLED,
)


def streamed(blocks):
    """The events by which the vendor would tell these blocks."""
    yield START
    for index, block in enumerate(blocks):
        kind = block["type"]
        empty = {"text": "", "thinking": "", "signature": "", "input": {}}
        yield {
            "type": "content_block_start",
            "index": index,
            "content_block": {name: empty.get(name, value) for name, value in block.items()},
        }
        if kind in DELTAS:
            for letter in block[kind]:
                yield delta(index, {"type": DELTAS[kind], kind: letter})
        if kind == "thinking":
            yield delta(index, {"type": "signature_delta", "signature": block["signature"]})
        if kind == "tool_use":
            yield delta(index, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])})
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}}
    yield {"type": "message_stop"}


def delta(index, said):
    return {"type": "content_block_delta", "index": index, "delta": said}


def sse(events):
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def follow(events):
    """A reader that has read these events, and what it gave."""
    reader = Anthropic().reader(make_call({**HELLO, "stream": True}), make_upstream())
    return reader, read_whole(reader, sse(events))


def answered(blocks, *, stream):
    """The caller's message and what was kept."""
    if stream:
        reader, out = follow(streamed(blocks))
        message = accumulate(out)[1].choices[0].message.model_dump()
        return message, reader.memories
    body = {"type": "message", "model": "claude-x-1", "content": blocks, "stop_reason": "tool_use"}
    reply = Anthropic().reply(make_call(), make_upstream(), 200, {}, json.dumps(body).encode())
    return json.loads(reply.body)["choices"][0]["message"], reply.memories


def next_turn(message, memories):
    """The assistant's blocks in the request that brings the results."""
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {k: call["function"][k] for k in ("name", "arguments")},
        }
        for call in message["tool_calls"]
    ]
    history = [
        ASK,
        {"role": "assistant", "content": message["content"], "tool_calls": calls},
        *({"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in calls),
    ]
    call = make_call({"model": "chat", "messages": history, "tools": TOOLS, "reasoning_effort": "high"})
    recalled = {one: memory.state for memory in memories for one in memory.calls}
    request = Anthropic().request(
        call, make_target("anthropic", "claude-opus-4-8"), make_upstream(), recalled
    )
    return json.loads(request.body)["messages"][1]["content"]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(ANSWERS, st.booleans())
def test_an_answer_returns_as_it_was_given(blocks, stream):
    message, memories = answered(blocks, stream=stream)
    thoughts = [block for block in blocks if block["type"].endswith("thinking")]
    assert bool(memories) == bool(thoughts)
    expected = [
        {**block, "id": wire_id(block["id"])} if block["type"] == "tool_use" else block
        for block in blocks
        if block.get("text", "x").strip()
    ]
    sent = next_turn(message, memories)
    if thoughts:
        assert sent == expected
    else:
        texts = ["".join(b["text"] for b in turn if b["type"] == "text") for turn in (sent, blocks)]
        assert texts[0].strip() == texts[1].strip()


THOUGHT = {"type": "thinking", "thinking": "Secret plan.", "signature": "sig-secret"}
HIDDEN = {"type": "redacted_thinking", "data": "zzz-secret"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}


@pytest.mark.parametrize("stream", [False, True])
def test_no_caller_sees_a_signature(stream):
    message, memories = answered([THOUGHT, HIDDEN, CALL], stream=stream)
    assert "secret" not in json.dumps(message)
    assert b"zzz-secret" in memories[0].state


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wrong", [{**THOUGHT, "signature": None}, {**HIDDEN, "data": 7}])
def test_no_answer_is_lost_for_a_thought_that_is_not_well_formed(stream, wrong):
    message, memories = answered([wrong, CALL], stream=stream)
    assert message["tool_calls"][0]["id"] == "toolu_1"
    assert memories == ()


def test_nothing_is_kept_of_an_answer_that_has_not_ended():
    reader, _ = follow([*streamed([THOUGHT, CALL])][:-2])
    assert reader.failure is not None
    assert reader.memories == ()


@pytest.mark.parametrize(
    "blocks",
    [
        [{**THOUGHT, "thinking": "x" * MOST}, CALL],
        [{**THOUGHT, "signature": "x" * MOST}, CALL],
        [{**HIDDEN, "data": "x" * MOST}, CALL],
        [{**THOUGHT, "thinking": "\x01" * (MOST // 2)}, CALL],
        [THOUGHT, *[{**CALL, "id": f"toolu_{number}"} for number in range(MOST // 64)]],
    ],
    ids=["words", "signature", "hidden", "what grows when it is written", "parts"],
)
def test_what_is_too_much_is_not_kept_at_all(blocks):
    _, memories = answered(blocks, stream=False)
    assert memories == ()


def test_what_is_too_much_is_let_go_while_it_is_read():
    keeping = Keeping()
    keeping.thought("", "")
    for _ in range(2 * MOST // 1024):
        keeping.thinks("x" * 1024)
        assert sum(len(word) for part in keeping._turn for word in part.words) <= MOST
    assert keeping._turn == []
    keeping.thought("again", "sig")
    keeping.call("toolu_1")
    assert keeping.memories() == ()
