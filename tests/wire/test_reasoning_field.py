"""Reasoning goes out under the route's name for it, or not at all, whichever dialect it came from."""

import json

import pytest
from msgspec.structs import replace

from proxy.call import Signal
from tests.wire.samples import accumulate, read_whole
from tests.wire.test_cases import arrange, having

FIELDS = ("reasoning", "none")


def renamed(part, field):
    """What a part that has reasoning under the usual name must have become."""
    if part and "reasoning_content" in part:
        part = dict(part)
        thought = part.pop("reasoning_content")
        if field != "none":
            part[field] = thought
    return part


def expected(answer, member, field):
    choices = [{**choice, member: renamed(choice[member], field)} for choice in answer["choices"]]
    return {**answer, "choices": choices}


def events(stream):
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]


@pytest.mark.parametrize("field", FIELDS)
@having("reply.upstream.json")
def test_a_whole_answer_differs_in_nothing_else(folder, field):
    dialect, call, _, upstream = arrange(folder)
    body = (folder / "reply.upstream.json").read_bytes()
    usual = dialect.reply(call, upstream, 200, {}, body)
    reply = dialect.reply(replace(call, reasoning_field=field), upstream, 200, {}, body)
    if isinstance(usual, Signal):
        assert reply == usual
        return
    assert json.loads(reply.body) == expected(json.loads(usual.body), "message", field)
    assert (reply.usage, reply.memories) == (usual.usage, usual.memories)


@pytest.mark.parametrize("field", FIELDS)
@having("reply.upstream.sse")
def test_a_stream_differs_in_nothing_else(folder, field):
    dialect, call, _, upstream = arrange(folder)
    data = (folder / "reply.upstream.sse").read_bytes()
    usual, reader = dialect.reader(call, upstream), None
    was = events(read_whole(usual, data))
    reader = dialect.reader(replace(call, reasoning_field=field), upstream)
    out = read_whole(reader, data)
    assert events(out) == [expected(chunk, "delta", field) for chunk in was]
    assert (reader.ended, reader.failure, reader.usage) == (usual.ended, usual.failure, usual.usage)
    assert (reader.content, reader.memories) == (usual.content, usual.memories)
    if reader.ended and b"\\ud8" not in out:
        accumulate(out)


def test_there_are_cases_that_reason():
    """Without them the tests above would show nothing."""
    reasoned = [
        folder
        for mark in (having("reply.upstream.sse"), having("reply.upstream.json"))
        for folder in mark.args[1]
        for name in ("reply.client.sse", "reply.client.json")
        if (folder / name).exists() and "reasoning_content" in (folder / name).read_text()
    ]
    assert {folder.parent.name for folder in reasoned} >= {"openai", "vllm", "anthropic", "gemini"}
