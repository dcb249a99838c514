"""Every recording of Gemini, read in place, through the dialect and into the official SDK."""

import json
import random

import pytest
from google.genai import types
from openai.types.chat import ChatCompletion

from proxy.call import Kind
from proxy.usage import Source
from proxy.wire.dialect import Reply
from proxy.wire.gemini import Gemini
from tests.wire.samples import DONE, FIXTURES, HELLO, accumulate, make_call, make_upstream, read_whole

GEMINI = Gemini()
FILES = sorted((FIXTURES / "gemini").glob("*"))
STREAMS = [path for path in FILES if path.suffix == ".sse"]
ARRAYS = [path for path in FILES if path.name.startswith("json_array")]
WHOLE = [
    path
    for path in FILES
    if path.suffix == ".json" and not path.name.startswith(("error", "models_list", "prompt_blocked"))
]
OTHERS = {
    "error_400_invalid_key": (400, Kind.BAD_KEY, None),
    "error_404_model": (404, Kind.NO_MODEL, None),
    "error_429_retryinfo": (429, Kind.RATE_LIMITED, 48.0),
    "models_list": (200, Kind.BAD_ANSWER, None),
    "prompt_blocked_vertex": (200, None, None),
}
"""What no SDK can accumulate: a refusal, a list of models, a prompt that was blocked."""
FINISHES = {"max_tokens_25flash": "length", "max_tokens_stream_25flash": "length"}
FINISHES["safety_block_15flash"] = "content_filter"

pytestmark = pytest.mark.skipif(
    not FILES, reason=f"no recordings under {FIXTURES} (set FALLTHROUGH_FIXTURES)"
)


def name(path):
    return path.stem


def chunks_of(data):
    """What Google's own types make of a recording."""
    if data.startswith(b"data:"):
        said = [json.loads(line[5:]) for line in data.splitlines() if line.startswith(b"data:")]
    else:
        said = json.loads(data)
    listed = said if isinstance(said, list) else [said]
    return [types.GenerateContentResponse._from_response(response=chunk, kwargs={}) for chunk in listed]


def parts_of(chunks):
    contents = [chunk.candidates[0].content for chunk in chunks if chunk.candidates]
    return [part for content in contents if content for part in content.parts or []]


def calls_of(chunks):
    """Names and arguments; pieces of arguments, which the SDK does not join, are left out."""
    calls = [part.function_call for part in parts_of(chunks) if part.function_call]
    return [(call.name, call.args or {}) for call in calls if call.name and not call.will_continue]


def make_recorded_call(chunks, **more):
    """A call that offers whatever the recorded answer calls."""
    calls = [part.function_call for part in parts_of(chunks) if part.function_call]
    names = {call.name for call in calls if call.name}
    tools = [{"type": "function", "function": {"name": one}} for one in sorted(names)]
    return make_call({**HELLO, "tools": tools, **more})


def check(message, finish, path, chunks):
    """The message holds what Google's types hold."""
    parts = parts_of(chunks)
    assert (message.content or "") == "".join(part.text or "" for part in parts if not part.thought)
    thought = "".join(part.text or "" for part in parts if part.thought)
    assert getattr(message, "reasoning_content", "") == thought
    got = [(one.function.name, json.loads(one.function.arguments)) for one in message.tool_calls or []]
    expected = calls_of(chunks)
    assert [one for one in got if one in expected or "partialArgs" not in path.read_text()] == expected
    assert finish == FINISHES.get(path.stem, "tool_calls" if got else "stop")


def check_usage(usage, chunks):
    report = chunks[-1].usage_metadata
    assert usage.source is Source.REPORTED
    assert usage.total == report.total_token_count
    assert usage.reasoning == (report.thoughts_token_count or 0)
    assert usage.cached == (report.cached_content_token_count or 0)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("path", STREAMS + ARRAYS, ids=name)
def test_a_recorded_stream_reaches_the_sdk_as_google_would_read_it(path, asked):
    data = path.read_bytes()
    chunks = chunks_of(data)
    call = make_recorded_call(chunks, stream=True, stream_options={"include_usage": asked})
    reader = GEMINI.reader(call, make_upstream())
    out = read_whole(reader, data)
    assert reader.ended
    assert out.endswith(DONE)
    shown, whole = accumulate(out)
    check(whole.choices[0].message, whole.choices[0].finish_reason, path, chunks)
    check_usage(reader.usage, chunks)
    assert [chunk.usage is not None for chunk in shown] == [False] * (len(shown) - 1) + [asked]
    assert (b'"usage"' in out) == asked


@pytest.mark.parametrize("path", STREAMS + ARRAYS, ids=name)
def test_a_recorded_stream_is_the_same_however_it_is_cut(path):
    data = path.read_bytes()
    call = make_recorded_call(chunks_of(data), stream=True)
    out = read_whole(GEMINI.reader(call, make_upstream()), data)
    assert read_whole(GEMINI.reader(call, make_upstream()), data, 1) == out
    dice = random.Random(path.name)
    for _ in range(10):
        cuts = sorted(dice.sample(range(len(data)), 9))
        reader = GEMINI.reader(call, make_upstream())
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert b"".join(reader.feed(piece) for piece in pieces) + reader.finish() == out


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_recorded_stream_that_is_cut_is_never_whole(path):
    data = path.read_bytes()
    call = make_recorded_call(chunks_of(data), stream=True)
    last = len(data.rstrip())
    for at in range(0, last, max(1, last // 1500)):
        reader = GEMINI.reader(call, make_upstream())
        out = reader.feed(data[:at]) + reader.finish()
        assert reader.failure is not None
        assert not reader.ended
        assert DONE not in out
        assert b'"finish_reason":"' not in out


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_recorded_answer_reaches_the_caller_as_google_would_read_it(path):
    data = path.read_bytes()
    chunks = chunks_of(data)
    reply = GEMINI.reply(make_recorded_call(chunks), 200, {}, data)
    assert isinstance(reply, Reply)
    answer = ChatCompletion.model_validate_json(reply.body)
    check(answer.choices[0].message, answer.choices[0].finish_reason, path, chunks)
    check_usage(reply.usage, chunks)
    assert answer.usage.total_tokens == reply.usage.total


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in OTHERS], ids=name)
def test_what_is_no_answer_is_understood(path):
    status, kind, wait = OTHERS[path.stem]
    said = GEMINI.reply(make_call(), status, {}, path.read_bytes())
    if kind is None:
        choice = ChatCompletion.model_validate_json(said.body).choices[0]
        assert choice.finish_reason == "content_filter"
        assert "MODEL_ARMOR" in choice.message.refusal
    else:
        assert (said.kind, said.retry_after_s) == (kind, wait)


def test_every_recording_has_somebody_to_judge_it():
    judged = {path.stem for path in STREAMS + ARRAYS + WHOLE} | OTHERS.keys()
    assert {path.stem for path in FILES} == judged


def test_odds_come_in_openais_form():
    data = (FIXTURES / "gemini/logprobs_vertex.json").read_bytes()
    answer = ChatCompletion.model_validate_json(GEMINI.reply(make_call(), 200, {}, data).body)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == "2 + 2 = 4"
    assert all(len(token.top_logprobs) == 5 for token in tokens)
