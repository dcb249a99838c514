"""Real recordings of OpenAI-shaped upstreams, read in place, through the reader and into the SDK."""

import json

import pytest
from openai.types.chat import ChatCompletion

from proxy.usage import Source
from proxy.wire import DIALECTS
from proxy.wire.dialect import Reply
from tests.wire.samples import DONE, FIXTURES, HELLO, accumulate, make_call, make_upstream, read_whole

FOLDERS = ("openai", "deepseek", "mistral", "ollama", "vllm", "compat")
FILES = [path for folder in FOLDERS for path in sorted((FIXTURES / folder).glob("*"))]
STREAMS = [path for path in FILES if path.suffix == ".sse"]
WHOLE = [path for path in FILES if path.suffix == ".json" and not path.name.startswith("error")]
ERRORS = [path for path in FILES if path.name.startswith("error")]

pytestmark = pytest.mark.skipif(
    not FILES, reason=f"no recordings under {FIXTURES} (set FALLTHROUGH_FIXTURES)"
)


def name(path):
    return f"{path.parent.name}/{path.stem}"


def dialect_of(path):
    return DIALECTS["vllm" if path.parent.name == "vllm" else "openai"]


def reported(chunks):
    """The last usage of a recording, as its upstream wrote it."""
    counts = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return counts[-1] if counts else None


def events(data):
    lines = [line[6:] for line in data.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def text(chunks, index=0):
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(delta["content"] for delta in deltas if isinstance(delta.get("content"), str))


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_recorded_stream_reaches_the_sdk_whole_and_counted(path, asked):
    data = path.read_bytes()
    body = {**HELLO, "stream": True, "n": 2 if "n2" in path.name else 1}
    call = make_call(body, include_usage=asked)
    reader = dialect_of(path).reader(call, make_upstream())
    out = read_whole(reader, data)
    assert reader.ended
    assert out.endswith(DONE)
    assert out == read_whole(dialect_of(path).reader(call, make_upstream()), data, 61)
    chunks, whole = accumulate(out)
    usage = reported(events(data))
    shown = [chunk for chunk in chunks if chunk.usage is not None]
    assert len(shown) == (1 if asked and usage else 0)
    if usage:
        assert reader.usage.source is Source.REPORTED
        assert reader.usage.input == usage["prompt_tokens"]
        assert reader.usage.total == usage["total_tokens"]
        assert not shown or chunks[-1] is shown[0]
    if not asked:
        assert all("usage" not in chunk for chunk in events(out))
    for index, choice in enumerate(whole.choices):
        assert choice.finish_reason
        assert choice.message.role == "assistant"
        sent = text(events(data), index)
        assert (choice.message.content or "").endswith(sent)
        for call_ in choice.message.tool_calls or []:
            assert isinstance(json.loads(call_.function.arguments), dict)


@pytest.mark.parametrize("path", [path for path in STREAMS if path.parent.name == "openai"], ids=name)
def test_what_openai_streams_passes_byte_for_byte(path):
    data = path.read_bytes()
    body = {**HELLO, "stream": True, "n": 2 if "n2" in path.name else 1}
    out = read_whole(DIALECTS["openai"].reader(make_call(body, include_usage=True), make_upstream()), data)
    if "moderation" in path.name:  # there an event follows the usage, which moves behind it
        assert sorted(out.split(b"\n\n")) == sorted(data.split(b"\n\n"))
    else:
        assert out == data


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_recorded_answer_reaches_the_caller_in_openais_types(path):
    data = path.read_bytes()
    reply = dialect_of(path).reply(make_call(), 200, {}, data)
    assert isinstance(reply, Reply)
    answer = ChatCompletion.model_validate_json(reply.body)
    assert reply.usage.source is Source.REPORTED
    assert reply.usage.input == answer.usage.prompt_tokens
    assert reply.usage.output == answer.usage.completion_tokens
    if path.parent.name == "openai":
        assert reply.body == data


@pytest.mark.parametrize("path", ERRORS, ids=name)
def test_a_recorded_refusal_is_understood(path):
    status = int(path.stem.split("_")[1])
    signal = dialect_of(path).error(status, {}, path.read_bytes())
    expected = {401: "bad_key", 404: "no_model"}.get(status)
    expected = expected or ("too_long" if "context" in path.name else "bad_request")
    assert signal.kind == expected
