"""Short dialogues with a dialect: what goes up for a call, and what a caller hears of an answer."""

import json

from msgspec.structs import replace

from proxy.call import Kind, Phase, Signal, UpstreamRequest
from proxy.facts.addresses import BASE_URLS
from proxy.facts.capabilities import KNOWN
from proxy.wire import DIALECTS
from proxy.wire.dialect import NOTHING_RECALLED, Reply
from tests.wire.samples import DONE, HELLO, chunk, event, make_call, make_target, make_upstream, read_whole
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


def server(dialect, like=None, headers=()):
    """An upstream that speaks the dialect, in the manner of a server that is known."""
    upstream = replace(make_upstream(dialect), headers=headers)
    return upstream if like is None else replace(upstream, capabilities=KNOWN[like])


def ask(
    dialect, model="model-there", like=None, headers=(), recalled=NOTHING_RECALLED, lenient=False, **body
) -> UpstreamRequest | Signal:
    """What goes up for a call with these members; `lenient` on a route that says `drop_params`."""
    call = make_call({**HELLO, **body}, drop_params=lenient)
    target = make_target(dialect, model, BASE_URLS.get(like, ""))
    return DIALECTS[dialect].request(call, target, server(dialect, like, headers), recalled)


def goes_up(dialect, model="model-there", like=None, **more):
    return json.loads(ask(dialect, model, like, **more).body)


def refused(dialect, model, **body) -> str:
    """The member by which this upstream cannot express the call."""
    signal = ask(dialect, model, **body)
    assert (signal.kind, signal.phase) == (Kind.UNABLE, Phase.CONNECT)
    return signal.told.param


def follow(dialect, *said, like=None, **body):
    """The reader, and the bytes for the caller, of a stream."""
    call = make_call({**HELLO, "stream": True, "stream_options": {"include_usage": True}, **body})
    reader = DIALECTS[dialect].reader(call, server(dialect, like))
    return reader, read_whole(reader, b"".join(one if isinstance(one, bytes) else event(one) for one in said))


def heard(dialect, *said, **body):
    """The one choice that the SDK reads out of a stream."""
    reader, out = follow(dialect, *said, **body)
    assert reader.ended
    return openai(out).choices[0]


def reply(dialect, answer, like=None, **body) -> Reply | Signal:
    call = make_call({**HELLO, **body})
    return DIALECTS[dialect].reply(call, server(dialect, like), 200, {}, json.dumps(answer).encode())


def comes_back(dialect, model, said, like=None, **asked):
    """What goes up after an answer that called tools, though its caller kept OpenAI's own members alone.

    `said` are the events of a stream, or a whole answer.
    """
    if isinstance(said, list):
        left, out = follow(dialect, *said, like=like, **asked)
    else:
        left = reply(dialect, said, like=like, **asked)
        out = left.body
    choice = openai(out).choices[0]
    calls = [
        {
            "id": one.id,
            "type": "function",
            "function": {"name": one.name, "arguments": json.dumps(one.arguments)},
        }
        for one in choice.calls
    ]
    said_so = {"role": "assistant", "content": choice.text or None, "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "mild"} for call in calls]
    recalled = {call: memory.state for memory in left.memories for call in memory.calls}
    return goes_up(dialect, model, like, recalled=recalled, messages=[USER, said_so, *results], **asked)


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


SIGNATURE = "c2lnbmVkIGJ5IG5vYm9keQ=="
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}
THOUGHTFUL = {
    "anthropic": [
        START,
        block(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="Hm."),
        delta(0, type="signature_delta", signature=SIGNATURE),
        block(1, type="tool_use", id="toolu_1", name="go", input={}),
        ends("tool_use"),
        STOP,
    ],
    "gemini": [
        candidate({"functionCall": {"name": "go", "args": {"a": 1}}, "thoughtSignature": SIGNATURE}),
        candidate({"functionCall": {"name": "go", "args": {"a": 2}}}, finish="STOP"),
    ],
    "openai": [
        chunk({"reasoning_content": "Hm."}),
        chunk({"tool_calls": [{"index": 0, **CALL}]}),
        chunk({}, "tool_calls"),
        DONE,
    ],
}
"""Streams of answers that thought, and then called tools."""
THOUGHTFUL_WHOLE = {
    "anthropic": {
        "content": [THOUGHT, {"type": "tool_use", "id": "toolu_1", "name": "go", "input": {}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 9},
    },
    "gemini": candidate(
        {"functionCall": {"name": "go", "args": {"a": 1}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "go", "args": {"a": 2}}},
        finish="STOP",
    ),
    "openai": {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "",
                    "reasoning_content": "Hm.",
                    "tool_calls": [CALL],
                },
                "finish_reason": "tool_calls",
            }
        ],
    },
}
"""The same, not streamed."""

BROKEN = {
    "anthropic": [
        START,
        block(0, type="text", text="Hi"),
        {"type": "error", "error": {"message": "x"}},
        STOP,
    ],
    "gemini": [candidate({"text": "Hi"}), {"error": {"code": 503, "message": "x"}}, candidate(finish="STOP")],
    "openai": [chunk({"content": "Hi"}), event({"error": {"message": "x"}}), chunk({}, "stop"), DONE],
    "vllm": [chunk({"content": "Hi"}), event({"error": {"message": "x", "code": 500}}), DONE],
}
"""Streams that break after their first words."""

_ANSWERED = {"refusal": None, "annotations": [], "audio": None, "function_call": None}
_MARKED = {"type": "text", "text": "Weather?", "prompt_cache_breakpoint": {"mode": "explicit"}, "x_mine": 1}
PROGRAM = {
    "messages": [
        {"role": "user", "name": "jane", "content": [_MARKED]},
        {**HISTORY[1], **_ANSWERED},
        *HISTORY[2:4],
    ],
    "tools": [{**TOOLS[0], "cache_control": {"type": "ephemeral"}}],
    "max_completion_tokens": 9,
    "parallel_tool_calls": None,
    "seed": 7,
    "store": True,
    "user": "jane@example.com",
    "stream": True,
    "stream_options": {"include_usage": True},
}
"""What a program of OpenAI's sends and sends back, and few others take."""
