"""Every recording of Anthropic, through the dialect: both vendors' SDKs must read the same out of it."""

import json
import random

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from proxy.call import Call, Kind
from proxy.usage import Source
from proxy.wire.anthropic.dialect import Anthropic
from proxy.wire.dialect import Reply
from tests.wire.samples import DONE, FIXTURES, HELLO, accumulate, make_call, make_upstream, read_whole

FILES = sorted((FIXTURES / "anthropic").glob("*"))
STREAMS = [path for path in FILES if path.suffix == ".sse"]
ERRORS = {
    "error_400_effort_unsupported": Kind.BAD_REQUEST,
    "error_404_count_tokens_model": Kind.NO_MODEL,
    "error_404_model": Kind.NO_MODEL,
    "error_404_on_stream_request": Kind.NO_MODEL,
}
NO_ANSWERS = {"count_tokens_ok"}
WHOLE = [path for path in FILES if path.suffix == ".json" and path.stem not in {*ERRORS, *NO_ANSWERS}]
FINISHES = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}
CUT = ("tool_no_args_stream_haiku45", "refusal_midstream_fable5")

pytestmark = pytest.mark.skipif(
    not FILES, reason=f"no recordings under {FIXTURES} (set FALLTHROUGH_FIXTURES)"
)


def name(path):
    return path.stem


def asking() -> Call:
    return make_call({**HELLO, "stream": True}, include_usage=True)


def reader(call=None):
    return Anthropic().reader(call or asking(), make_upstream())


def vendors_message(data) -> Message:
    """What Anthropic's own SDK makes of a stream."""
    snapshot, buffers = None, {}
    for line in data.splitlines():
        if line.startswith(b"data: ") and json.loads(line[6:])["type"] != "ping":
            event = json.loads(line[6:])
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


def assert_same(ours, theirs, usage):
    """Text, thinking, calls, finish and counts of a completion are those of the vendor's message."""
    message = ours.choices[0].message
    assert (message.content or "") == "".join(b.text for b in theirs.content if b.type == "text")
    thought = "".join(b.thinking for b in theirs.content if b.type == "thinking")
    assert (message.model_dump().get("reasoning_content") or "") == thought
    calls = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls or []
    ]
    assert calls == [(b.id, b.name, b.input) for b in theirs.content if b.type == "tool_use"]
    assert ours.choices[0].finish_reason == FINISHES[theirs.stop_reason]
    assert ours.model == theirs.model
    count = theirs.usage
    written, read = count.cache_creation_input_tokens or 0, count.cache_read_input_tokens or 0
    assert usage.source is Source.REPORTED
    assert usage.input == ours.usage.prompt_tokens == count.input_tokens + written + read
    assert usage.output == ours.usage.completion_tokens == count.output_tokens
    assert usage.cached == ours.usage.prompt_tokens_details.cached_tokens == read
    assert usage.cache_write == written


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_both_sdks_read_the_same_out_of_a_recorded_stream(path):
    data = path.read_bytes()
    following = reader()
    out = read_whole(following, data)
    assert following.ended
    assert out.endswith(DONE)
    chunks, ours = accumulate(out)
    assert_same(ours, vendors_message(data), following.usage)
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert sum(1 for chunk in chunks for choice in chunk.choices if choice.delta.role) == 1


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_recorded_stream_comes_out_the_same_however_it_is_cut(path):
    data = path.read_bytes()
    out = read_whole(reader(), data)
    assert read_whole(reader(), data, 1) == out
    dice = random.Random(path.name)
    for _ in range(5):
        following = reader()
        cuts = sorted(dice.sample(range(len(data)), 9))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert b"".join(following.feed(piece) for piece in pieces) + following.finish() == out


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_nobody_sees_a_count_that_was_not_asked_for(path):
    out = read_whole(reader(make_call({**HELLO, "stream": True})), path.read_bytes())
    assert b'"usage"' not in out
    assert out.endswith(DONE)


@pytest.mark.parametrize("path", [path for path in STREAMS if path.stem in CUT], ids=name)
def test_a_recorded_stream_cut_at_any_byte_is_never_sold_as_whole(path):
    data = path.read_bytes()
    reason = data.rindex(b'"stop_reason":"')
    for at in range(len(data)):
        following = reader()
        out = following.feed(data[:at]) + following.finish()
        assert following.ended == out.endswith(DONE) == (following.failure is None)
        assert not following.ended or at > reason
        assert following.usage.total >= 0


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_both_sdks_read_the_same_out_of_a_recorded_answer(path):
    reply = Anthropic().reply(make_call(), 200, {}, path.read_bytes())
    assert isinstance(reply, Reply)
    ours = ChatCompletion.model_validate_json(reply.body)
    assert_same(ours, Message.model_validate_json(path.read_bytes()), reply.usage)


def kept(memories):
    """The thoughts in what is kept."""
    turns = [json.loads(memory.state)["turn"] for memory in memories]
    return [part for turn in turns for part in turn if isinstance(part, dict)]


@pytest.mark.parametrize("path", STREAMS + WHOLE, ids=name)
def test_the_thoughts_of_a_recorded_answer_with_calls_are_kept_to_the_letter(path):
    data = path.read_bytes()
    if path.suffix == ".sse":
        following = reader()
        read_whole(following, data)
        theirs, memories = vendors_message(data), following.memories
    else:
        reply = Anthropic().reply(make_call(), 200, {}, data)
        theirs, memories = Message.model_validate_json(data), reply.memories
    calls = [block.id for block in theirs.content if block.type == "tool_use"]
    thoughts = [block.to_dict() for block in theirs.content if block.type.endswith("thinking")]
    assert kept(memories) == (thoughts if calls else [])
    assert [call for memory in memories for call in memory.calls] == (calls if thoughts else [])


@pytest.mark.parametrize(("stem", "kind"), ERRORS.items())
def test_a_recorded_refusal_is_understood(stem, kind):
    body = (FIXTURES / "anthropic" / f"{stem}.json").read_bytes()
    assert Anthropic().error(int(stem.split("_")[1]), {}, body).kind is kind


@pytest.mark.parametrize("stem", sorted(NO_ANSWERS))
def test_what_is_no_answer_is_not_taken_for_one(stem):
    body = (FIXTURES / "anthropic" / f"{stem}.json").read_bytes()
    assert Anthropic().reply(make_call(), 200, {}, body).kind is Kind.BAD_ANSWER
