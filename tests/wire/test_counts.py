"""A count of an upstream's is believed only if it can be one of all that was seen, in every dialect."""

import json

import pytest

from proxy.usage import Source
from proxy.wire import DIALECTS
from proxy.wire.counts import fewest
from tests.wire.samples import DONE, HELLO, make_call, make_upstream

WORD = "word and "
PICTURE = "![it](data:image/png;base64," + "iVBORw0KGgo" * 50_000 + ")"
REPORTED, OBSERVED = Source.REPORTED, Source.OBSERVED


def sse(said, name=""):
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(said, separators=(',', ':'))}\n\n".encode()


def openai_chunk(text="", finish=None, output=None, choices=True):
    delta = {"content": text} if text else {}
    said = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    if choices:
        said["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]
    if output is not None:
        said["usage"] = {"prompt_tokens": 10, "completion_tokens": output, "total_tokens": 10 + output}
    return sse(said)


def openai(words, *, early=None, last=None, ended=True):
    """A stream whose count comes first, last, or both."""
    yield openai_chunk(output=early)
    for word in words:
        yield openai_chunk(word)
    if ended:
        yield openai_chunk(finish="stop")
        if last is not None:
            yield openai_chunk(output=last, choices=False)
        yield DONE


def anthropic(words, *, early=0, last=None, ended=True):
    usage = {"input_tokens": 10, "output_tokens": early or 0}
    yield sse({"type": "message_start", "message": {"model": "m", "usage": usage}})
    yield sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for word in words:
        yield sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
    if ended:
        told = {} if last is None else {"usage": {"output_tokens": last}}
        yield sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, **told})
        yield sse({"type": "message_stop"})


def gemini(words, *, early=None, last=None, ended=True):
    def said(text, finish, output):
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}}
        if finish:
            candidate["finishReason"] = finish
        told = {"promptTokenCount": 10, "candidatesTokenCount": output}
        return sse({"candidates": [candidate]} | ({} if output is None else {"usageMetadata": told}))

    yield said("", None, early)
    for word in words:
        yield said(word, None, None)
    if ended:
        yield said("", "STOP", last)


SAYS = {"openai": openai, "vllm": openai, "anthropic": anthropic, "gemini": gemini}


def followed(dialect, words, **count):
    reader = DIALECTS[dialect].reader(make_call({**HELLO, "stream": True}), make_upstream(dialect))
    for piece in SAYS[dialect](words, **count):
        reader.feed(piece)
    if count.get("ended", True):
        reader.finish()
        assert reader.ended
    return reader.usage


@pytest.mark.parametrize("dialect", sorted(SAYS))
@pytest.mark.parametrize(
    ("words", "count", "output", "source"),
    [
        (400, {"early": 0, "ended": False}, 900, OBSERVED),
        (400, {"early": 1}, 900, OBSERVED),
        (20, {"early": 1}, 45, OBSERVED),
        (400, {"last": 0}, 900, OBSERVED),
        (400, {"last": 1}, 900, OBSERVED),
        (400, {"early": 0, "last": 400}, 400, REPORTED),
        (400, {"early": 1, "last": 800}, 800, REPORTED),
        (400, {"last": 60}, 60, REPORTED),
        (1, {"last": 1}, 1, REPORTED),
        (0, {"last": 0}, 0, REPORTED),
    ],
)
def test_a_streamed_answer_is_of_no_fewer_tokens_than_it_can_be(dialect, words, count, output, source):
    usage = followed(dialect, [WORD] * words, **count)
    assert (usage.input, usage.output, usage.source) == (10, output, source)


@pytest.mark.parametrize("dialect", ["openai", "vllm", "gemini"])
def test_a_count_that_runs_along_is_believed_when_the_stream_is_left(dialect):
    reader = DIALECTS[dialect].reader(make_call({**HELLO, "stream": True}), make_upstream(dialect))
    for number in range(1, 50):
        count = {"promptTokenCount": 10, "candidatesTokenCount": 3 * number}
        said = {"candidates": [{"content": {"parts": [{"text": WORD}]}}], "usageMetadata": count}
        reader.feed(sse(said) if dialect == "gemini" else openai_chunk(WORD, output=3 * number))
    assert (reader.usage.output, reader.usage.source) == (147, REPORTED)


def test_a_picture_in_a_stream_is_not_charged_by_its_bytes():
    usage = followed("openai", ["Here: ", PICTURE], last=1290)
    assert (usage.output, usage.source) == (1290, REPORTED)


def openai_body(text, output):
    message = {"role": "assistant", "content": text, "refusal": None}
    usage = {"prompt_tokens": 10, "completion_tokens": output, "total_tokens": 10 + output}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}


def anthropic_body(text, output):
    usage = {"input_tokens": 10, "output_tokens": output}
    return {
        "type": "message",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": usage,
    }


def gemini_body(text, output):
    usage = {"promptTokenCount": 10, "candidatesTokenCount": output}
    return {
        "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}],
        "usageMetadata": usage,
    }


BODIES = {"openai": openai_body, "vllm": openai_body, "anthropic": anthropic_body, "gemini": gemini_body}


@pytest.mark.parametrize("dialect", sorted(BODIES))
@pytest.mark.parametrize(
    ("text", "reported", "output", "source"),
    [
        ("word " * 2000, 0, 2500, OBSERVED),
        ("word " * 2000, 1, 2500, OBSERVED),
        ("word", 0, 1, OBSERVED),
        (" " * 12_800, 100, 100, REPORTED),
        ("word " * 2000, 2000, 2000, REPORTED),
        ("word", 1, 1, REPORTED),
        ("", 0, 0, REPORTED),
    ],
)
def test_a_whole_answer_is_of_no_fewer_tokens_than_it_can_be(dialect, text, reported, output, source):
    body = json.dumps(BODIES[dialect](text, reported)).encode()
    usage = DIALECTS[dialect].reply(make_call(), make_upstream(dialect), 200, {}, body).usage
    assert (usage.input, usage.output, usage.source) == (10, output, source)


def test_a_picture_in_a_whole_answer_is_not_charged_by_its_bytes():
    body = json.dumps(
        openai_body("![it](data:image/png;base64," + "iVBORw0KGgo" * 50_000 + ")", 1290)
    ).encode()
    usage = DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, body).usage
    assert (usage.output, usage.source) == (1290, REPORTED)


def test_nothing_is_no_tokens_and_anything_is_one():
    assert [fewest(size) for size in (0, 1, 127, 256)] == [0, 1, 1, 2]
    assert fewest(1_000_000, 3) == 3


SIGNED = {"extra_content": {"google": {"thought_signature": "c2ln" * 4000}}}
FUNCTION = {"name": "get_weather", "arguments": '{"city":"Rome"}'}


@pytest.mark.parametrize(
    "made",
    [
        {"tool_calls": [{"id": "x", "type": "function", "function": FUNCTION, **SIGNED}]},
        {
            "tool_calls": [
                {"id": "x", "type": "custom", "custom": {"name": "run", "input": "i" * 23}, **SIGNED}
            ]
        },
        {"function_call": FUNCTION | SIGNED},
    ],
    ids=["function", "custom", "old form"],
)
@pytest.mark.parametrize(
    ("reported", "output", "source"), [(12, 12, REPORTED), (0, 7, OBSERVED), (None, 7, OBSERVED)]
)
def test_a_signature_of_thoughts_beside_a_call_is_not_charged(made, reported, output, source):
    body = openai_body(None, reported or 0)
    body["choices"][0]["message"] |= made
    if reported is None:
        del body["usage"]
    usage = DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, json.dumps(body).encode()).usage
    assert (usage.input, usage.output, usage.source) == (10, output, source)


def test_the_arguments_of_a_call_are_charged():
    body = openai_body(None, 1)
    long = {"name": "get_weather", "arguments": json.dumps({"city": "Rome " * 2000})}
    body["choices"][0]["message"]["tool_calls"] = [{"id": "x", "type": "function", "function": long}]
    usage = DIALECTS["openai"].reply(make_call(), make_upstream(), 200, {}, json.dumps(body).encode()).usage
    assert (usage.output, usage.source) == (2506, OBSERVED)
