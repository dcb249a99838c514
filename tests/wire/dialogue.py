"""Short dialogues with a dialect: what goes up for a call, and what a caller hears of an answer."""

import json
from dataclasses import replace

from proxy.call import Kind, Phase, Signal, UpstreamRequest
from proxy.facts.capabilities import KNOWN
from proxy.wire import DIALECTS
from proxy.wire.dialect import NOTHING_RECALLED, Reply
from tests.wire.samples import HELLO, event, make_call, make_target, make_upstream, read_whole
from tests.wire.vendors import openai

USER = {"role": "user", "content": "Weather?"}
TOOLS = [{"type": "function", "function": {"name": "go", "parameters": {"type": "object"}}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "go", "arguments": "{}"}}
OTHER = {"id": "toolu/2:x", "type": "function", "function": {"name": "go", "arguments": ""}}
HISTORY = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER], "reasoning_content": "Hm"},
    {"role": "tool", "tool_call_id": "toolu/2:x", "content": "second"},
    {"role": "tool", "tool_call_id": "call_1", "content": "first"},
    {"role": "user", "content": "And now?"},
]
OPUS, NEWEST, OLDER = "claude-opus-4-8", "claude-opus-5-5", "claude-sonnet-4-5"
FLASH = "gemini-3-flash-preview"


def ask(dialect, model="model-there", like=None, headers=(), **body) -> UpstreamRequest | Signal:
    """What goes up for a call with these members."""
    upstream = replace(make_upstream(dialect), headers=headers)
    if like is not None:
        upstream = replace(upstream, capabilities=KNOWN[like])
    call = make_call({**HELLO, **body})
    return DIALECTS[dialect].request(call, make_target(dialect, model), upstream, NOTHING_RECALLED)


def goes_up(dialect, model="model-there", like=None, **body):
    return json.loads(ask(dialect, model, like, **body).body)


def refused(dialect, model, **body) -> str:
    """The member by which this upstream cannot express the call."""
    signal = ask(dialect, model, **body)
    assert (signal.kind, signal.phase) == (Kind.UNABLE, Phase.CONNECT)
    return signal.told.param


def follow(dialect, *said, **body):
    """The reader, and the bytes for the caller, of a stream."""
    call = make_call({**HELLO, "stream": True, "stream_options": {"include_usage": True}, **body})
    reader = DIALECTS[dialect].reader(call, make_upstream(dialect))
    return reader, read_whole(reader, b"".join(one if isinstance(one, bytes) else event(one) for one in said))


def heard(dialect, *said, **body):
    """The one choice that the SDK reads out of a stream."""
    reader, out = follow(dialect, *said, **body)
    assert reader.ended
    return openai(out).choices[0]


def reply(dialect, answer, **body) -> Reply | Signal:
    call = make_call({**HELLO, **body})
    return DIALECTS[dialect].reply(call, 200, {}, json.dumps(answer).encode())


def kind(dialect, status, body, headers=None) -> Kind:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECTS[dialect].error(status, headers or {}, data).kind


START = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def block(index, **given):
    return {"type": "content_block_start", "index": index, "content_block": given}


def delta(index, **given):
    return {"type": "content_block_delta", "index": index, "delta": given}


def ends(reason, **usage):
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def candidate(*parts, finish=None, **more):
    one = {"content": {"role": "model", "parts": list(parts)} if parts else {}}
    return {"candidates": [one | ({"finishReason": finish} if finish else {})], **more}
