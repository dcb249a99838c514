"""A whole OpenAI-shaped answer, judged.

Dialects call `judge_reply` with the body of a success. A success is believed only if an answer is
inside; what an upstream says besides reaches the caller as it came, but for the declared repairs.
"""

from typing import Any

from proxy.call import Kind, Memory, Phase, Signal
from proxy.wire.answer import FAILED, drop, finish_reason, name_reasoning, settle_text
from proxy.wire.complaints import flatten
from proxy.wire.counts import estimated, reported, size
from proxy.wire.dialect import Reply
from proxy.wire.errors import inband
from proxy.wire.openai_stream import Expected
from proxy.wire.openai_thoughts import Thoughts
from proxy.wire.tolerant import dumps, loads

_TEXTS = ("content", "reasoning_content", "refusal")


def judge_reply(expected: Expected, status: int, body: bytes) -> Reply | Signal:
    """The caller's bytes, or why this is no answer."""
    try:
        return _judge(expected, status, body)
    except ValueError:
        return _no_answer(status, "not JSON that can be passed on")


def _judge(expected: Expected, status: int, body: bytes) -> Reply | Signal:
    answer = loads(body)
    if not isinstance(answer, dict):
        return _no_answer(status, "not an object")
    if answer.get("error") or answer.get("object") == "error":
        return inband(flatten(answer), Phase.HEADERS)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        return _no_answer(status, "no choices")
    changed = drop(answer, expected.extras)
    output_bytes = 0
    for number, choice in enumerate(choices):
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            return _no_answer(status, "a choice without a message")
        if not _has_sound_calls(message):
            return _no_answer(status, "malformed tool calls")
        if isinstance(choice.get("finish_reason"), str) and choice["finish_reason"] in FAILED:
            return Signal(Kind.OVERLOADED, Phase.HEADERS, status, detail="the upstream gave up")
        if "index" not in choice:
            choice["index"] = number
            changed = True
        changed = drop(choice, expected.extras) or changed
        changed = _settle(choice, message, legacy=expected.legacy) or changed
        output_bytes += _size(message)
    usage = reported(answer.get("usage")) or estimated(expected.prompt_bytes, output_bytes, 0)
    memories = _memories(choices[0]["message"]) if expected.recalls else ()
    for choice in choices:
        changed = name_reasoning(choice["message"], expected.reasoning_field) or changed
    return Reply(dumps(answer) if changed else body, usage, memories)


def _memories(message: dict[str, Any]) -> tuple[Memory, ...]:
    """The reasoning that led to tool calls, in the first answer: some upstreams want it back."""
    thought = message.get("reasoning_content")
    calls = message.get("tool_calls")
    if not calls or not isinstance(thought, str):
        return ()
    thoughts = Thoughts()
    thoughts.add(thought)
    return thoughts.memories(call["id"] for call in calls if isinstance(call.get("id"), str))


def _no_answer(status: int, detail: str) -> Signal:
    return Signal(Kind.BAD_ANSWER, Phase.HEADERS, status, detail=detail)


def _settle(choice: dict[str, Any], message: dict[str, Any], *, legacy: bool) -> bool:
    """Repairs of one choice; whether any was needed."""
    changed = settle_text(message)
    if message.get("role") != "assistant":
        message["role"] = "assistant"
        changed = True
    if "content" not in message:
        message["content"] = None
        changed = True
    calls = message.get("tool_calls")
    if "tool_calls" in message and not calls:
        del message["tool_calls"]
        changed = True
    for call in calls or ():
        changed = _settle_call(call) or changed
    if calls and legacy:
        del message["tool_calls"]
        message["function_call"] = calls[0].get("function")
        changed = True
    reason = choice.get("finish_reason")
    word = finish_reason(reason if isinstance(reason, str) else "stop", called=bool(calls), legacy=legacy)
    if word != reason:
        choice["finish_reason"] = word
        changed = True
    return changed


def _has_sound_calls(message: dict[str, Any]) -> bool:
    """Whether the tool calls, if there are any, are such as a client can run."""
    calls = message.get("tool_calls")
    if not calls:
        return True
    return isinstance(calls, list) and all(
        isinstance(call, dict) and isinstance(call.get("function", {}), dict) for call in calls
    )


def _settle_call(call: dict[str, Any]) -> bool:
    """A type, and arguments as text: some leave the one out and send the other as an object."""
    changed = not call.get("type")
    if changed:
        call["type"] = "function"
    function = call.get("function")
    if function is not None and not isinstance(function.get("arguments"), str):
        function["arguments"] = dumps(function.get("arguments") or {}).decode()
        changed = True
    return changed


def _size(message: dict[str, Any]) -> int:
    """Bytes of everything the caller can see."""
    calls = message.get("tool_calls") or message.get("function_call")
    total = len(dumps(calls)) if calls else 0
    for name in _TEXTS:
        text = message.get(name)
        if isinstance(text, str):
            total += size(text)
    return total
