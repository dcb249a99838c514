"""What translation costs: processor time of an event of a stream, and of a request with its history.

Used by `__main__.py`. Nothing is started and nothing is sent: readers and requests are called as the
story calls them, in this process, with synthetic answers in the framing and with the padding of each
vendor. Only the processor time of this process counts, and of several runs the least, so that whatever
else runs on the machine disturbs little.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import process_time_ns
from typing import Any

from proxy.abilities import Capabilities
from proxy.call import Call, Identity
from proxy.facts.capabilities import KNOWN
from proxy.facts.models import facts_of
from proxy.table import Secret, Target, Upstream
from proxy.wire import DIALECTS
from proxy.wire.dialect import NOTHING_RECALLED

EVENTS = 4000
TOGETHER = 16
"""Events in one read, in a rush."""
HISTORIES = (1_000, 100_000)
"""Bytes of a request's body."""
MODELS: Mapping[str, str] = {
    "anthropic": "claude-opus-4-8",
    "gemini": "gemini-3-flash-preview",
    "openai": "gpt-5",
    "vllm": "mixtral",
}
STREAMED = ("anthropic", "gemini", "openai")
"""vLLM's reader is OpenAI's."""
KINDS = ("text", "thinking", "arguments")
NAMES: Mapping[tuple[str, str], str] = {("gemini", "arguments"): "whole calls"}
"""Gemini does not stream arguments: an event brings a whole call, and two chunks go out for it."""
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ANSWER_ID = "chatcmpl-DFmQvN4YcGkUuNfyRjHo2aC1zXt0q"

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """A synthetic answer: what opens it, and the events that are timed."""

    opening: bytes
    events: tuple[bytes, ...]


def words(number: int) -> list[str]:
    """Pieces as long as tokens are."""
    return [" " + "tokens"[: 2 + at % 5] for at in range(number)]


def anthropic(kind: str) -> Stream:
    """Named events, padded inside the JSON as the vendor pads."""
    block, piece, member = {
        "text": ({"type": "text", "text": ""}, "text_delta", "text"),
        "thinking": ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"),
        "arguments": (
            {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "weather", "input": {}},
            "input_json_delta",
            "partial_json",
        ),
    }[kind]
    usage = {"input_tokens": 30, "cache_read_input_tokens": 0, "output_tokens": 1}
    message = {"type": "message", "model": MODELS["anthropic"], "content": [], "usage": usage}
    opening = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
    ]
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": piece, member: word}}
        for word in words(EVENTS)
    ]
    framed = [
        b"event: %b\ndata: %b%b}\n\n" % (one["type"].encode(), packed(one)[:-1], b" " * (at % 12))
        for at, one in enumerate([*opening, *deltas])
    ]
    return Stream(b"".join(framed[:2]), tuple(framed[2:]))


def gemini(kind: str) -> Stream:
    """A count with every event; a call comes whole, for its arguments are not streamed."""
    parts: list[Any] = [{"text": word} for word in words(EVENTS)]
    if kind == "thinking":
        parts = [{"text": word, "thought": True} for word in words(EVENTS)]
    if kind == "arguments":
        parts = [{"functionCall": {"name": "weather", "args": {"city": word}}} for word in words(EVENTS)]
    details = [{"modality": "TEXT", "tokenCount": 30}]
    framed = [
        b"data: %b\r\n\r\n"
        % packed(
            {
                "candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}],
                "usageMetadata": {
                    "promptTokenCount": 30,
                    "candidatesTokenCount": at,
                    "totalTokenCount": 30 + at,
                    "promptTokensDetails": details,
                },
                "modelVersion": MODELS["gemini"],
                "responseId": "_vr4aYiWEJnYodAPkujX0QM",
            }
        )
        for at, part in enumerate(parts)
    ]
    return Stream(framed[0], tuple(framed[1:]))


def openai(kind: str) -> Stream:
    """As OpenAI frames and pads them; its kin put reasoning beside the content."""

    def framed(delta: Any) -> bytes:
        body = {
            "id": ANSWER_ID,
            "object": "chat.completion.chunk",
            "created": 1_767_225_600,
            "model": "gpt-5-2026-08-07",
            "service_tier": "default",
            "system_fingerprint": "fp_560af6e559",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}],
            "usage": None,
            "obfuscation": "kPz4Jx",
        }
        return b"data: " + packed(body) + b"\n\n"

    def delta(word: str) -> Any:
        if kind == "arguments":
            return {"tool_calls": [{"index": 0, "function": {"arguments": word}}]}
        return {"content" if kind == "text" else "reasoning_content": word}

    function = {"name": "weather", "arguments": ""}
    call = {"index": 0, "id": "call_fHCjJqt9Pysde6vcJcvbXGBx", "type": "function", "function": function}
    calls = {"tool_calls": [call]} if kind == "arguments" else {"content": ""}
    return Stream(
        framed({"role": "assistant", **calls}), tuple(framed(delta(word)) for word in words(EVENTS))
    )


MAKERS: Mapping[str, Callable[[str], Stream]] = {"anthropic": anthropic, "gemini": gemini, "openai": openai}


def packed(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def asked(size: int | None = None) -> Call:
    """A streaming call with tools; of `size` bytes, most of them history with a call in every fifth turn."""
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    body = {"model": "chat", "stream": True, "messages": messages, "tools": [TOOL]}
    for at in range(10_000):
        if size is None or len(packed(body)) >= size:
            break
        made = {"id": f"call_{at:024}", "type": "function"}
        function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
        if at % 5 == 4:
            messages += [
                {"role": "assistant", "content": None, "tool_calls": [{**made, "function": function}]},
                {"role": "tool", "tool_call_id": made["id"], "content": "Cold, with some snow. " * 4},
            ]
        else:
            messages.append({"role": "assistant", "content": "It is cold and will stay so. " * 5})
        messages.append({"role": "user", "content": "And in the next city on my list? " * 3})
    return Call(
        "req_bench", 1_767_225_600, Identity("bench", "k1"), "chat", body, len(packed(body)), True, True
    )


def upstream(dialect: str) -> Upstream:
    able = KNOWN.get(dialect, Capabilities())
    return Upstream(dialect, dialect, "http://127.0.0.1/v1", Secret("none"), capabilities=able)


def event_us(dialect: str, stream: Stream, together: int) -> float:
    """Processor time of one event, read alone or with others."""
    pieces = [b"".join(stream.events[at : at + together]) for at in range(0, len(stream.events), together)]
    reader = DIALECTS[dialect].reader(asked(), upstream(dialect))
    reader.feed(stream.opening)
    feed = reader.feed
    began = process_time_ns()
    given = [feed(piece) for piece in pieces]
    spent = process_time_ns() - began
    if reader.failure is not None or not all(given):
        raise SystemExit(f"the {dialect} reader did not translate: {reader.failure}")
    return spent / 1000 / len(stream.events)


def request_us(dialect: str, call: Call) -> float:
    """Processor time of one request's translation."""
    target = Target(dialect, MODELS[dialect], facts=facts_of(dialect, MODELS[dialect]))
    build, there = DIALECTS[dialect].request, upstream(dialect)
    times = max(3, 2_000_000 // call.prompt_bytes // 100)
    began = process_time_ns()
    for _ in range(times):
        build(call, target, there, NOTHING_RECALLED)
    return (process_time_ns() - began) / 1000 / times


def measure(repeats: int) -> Figures:
    """Every figure, the least of so many runs."""
    events: Figures = {}
    for dialect in STREAMED:
        for kind in KINDS:
            stream = MAKERS[dialect](kind)
            events[f"{dialect}, {NAMES.get((dialect, kind), kind)}"] = {
                "alone_us": least(repeats, partial(event_us, dialect, stream, 1)),
                "rush_us": least(repeats, partial(event_us, dialect, stream, TOGETHER)),
            }
    requests = {
        dialect: {
            title(size): least(repeats, partial(request_us, dialect, asked(size))) for size in HISTORIES
        }
        for dialect in MODELS
    }
    return {"events": events, "requests": requests}


def least(repeats: int, run: Callable[[], float]) -> float:
    return round(min(run() for _ in range(repeats)), 2)


def title(size: int) -> str:
    return f"{size // 1000} KB"


def rows(found: Figures) -> tuple[Sequence[tuple[str, ...]], Sequence[tuple[str, ...]]]:
    """The lines of two tables: events, then requests."""
    events = [
        (name, f"{one['alone_us']:.1f}", f"{one['rush_us']:.1f}") for name, one in found["events"].items()
    ]
    requests = [
        (name, *(f"{one[title(size)]:,.0f}" for size in HISTORIES)) for name, one in found["requests"].items()
    ]
    return events, requests
