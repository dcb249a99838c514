"""A whole OpenAI-shaped answer, judged.

Dialects call `judge_reply` with the body of a success. A success is believed only if an answer is
inside; what an upstream says besides reaches the caller as it came, but for the declared repairs.
"""

from types import NoneType
from typing import Any

from proxy.call import Kind, Memory, Phase, Signal
from proxy.usage import Usage
from proxy.wire.answer import (
    FAILED,
    REASONING,
    drop,
    finish_reason,
    made_id,
    name_reasoning,
    settle_counts,
    settle_text,
)
from proxy.wire.complaints import flatten
from proxy.wire.counts import BYTES_MOST, estimated, fewest, reported, size, weighed
from proxy.wire.dialect import Reply
from proxy.wire.errors import inband
from proxy.wire.openai_calls import is_sound
from proxy.wire.openai_stream import Expected
from proxy.wire.openai_thoughts import Thoughts
from proxy.wire.tolerant import CALLS, dumps, exact_calls, loads

_TEXTS = ("content", "reasoning_content", "refusal")
_READABLE = (str, list, NoneType)
"""What they may be; a list is made one text."""
_HOLLOW = frozenset({"role"})
"""Members of a message that are there though nothing was said."""
_OF_CALL = ("name", "arguments", "input")
"""What the caller can see of a tool call, whether of a function or of the other kind."""
_SELDOM = frozenset({"tool_calls", "function_call", "reasoning", "reasoning_content"})
"""Members of a message that mean more than a text."""
_PICTURE = ";base64,"
_AROUND = 1024
"""Bytes around the texts of an answer: one that is no larger is not measured, if it has a count at all."""
_ENDS = ("stop", "length", "content_filter")


def judge_reply(expected: Expected, status: int, body: bytes) -> Reply | Signal:
    """The caller's bytes, or why this is no answer."""
    try:
        answer = loads(body)
        if type(answer) is not dict:
            return _no_answer(status, "not an object")
        if answer.get("error") or answer.get("object") == "error":
            return inband(flatten(answer), Phase.HEADERS)
        if CALLS in body:
            answer = exact_calls(answer, body)
        return _judge(expected, status, body, answer)
    except ValueError:
        return _no_answer(status, "not JSON that can be passed on")


def _judge(expected: Expected, status: int, body: bytes, answer: dict[str, Any]) -> Reply | Signal:
    choices = answer.get("choices")
    if type(choices) is not list or not choices:
        return _no_answer(status, "no choices")
    changed = not expected.extras.isdisjoint(answer) and drop(answer, expected.extras)
    for number, choice in enumerate(choices):
        message = choice.get("message") if type(choice) is dict else None
        if type(message) is not dict:
            return _no_answer(status, "a choice without a message")
        if _is_text(choice, message, expected.extras):
            continue
        if message.get("refusal") is False:  # which is how some say that there is none
            message["refusal"] = None
            changed = True
        fault = _fault(choice, message, status)
        if fault is not None:
            return fault
        changed = _settle(number, choice, message, expected) or changed
    said = answer.get("usage")
    usage = reported(said)
    changed = settle_counts(said) or changed
    if usage is None or not usage.output or usage.output * BYTES_MOST + _AROUND < len(body):
        usage = _weighed(usage, expected.prompt_bytes, choices)
    memories = _memories(choices[0]["message"]) if expected.recalls else ()
    if expected.reasoning_field != REASONING:
        changed = _rename_reasoning(choices, expected.reasoning_field) or changed
    return Reply(dumps(answer) if changed else body, usage, memories)


def _rename_reasoning(choices: list[dict[str, Any]], field: str) -> bool:
    """The reasoning of every choice by the route's name for it; whether there was any."""
    changed = False
    for choice in choices:
        changed = name_reasoning(choice["message"], field) or changed
    return changed


def _weighed(report: Usage | None, prompt_bytes: int, choices: list[dict[str, Any]]) -> Usage:
    """A count that is small beside its body, held to what the caller can see.

    A picture within a text is more bytes than its tokens would suggest; so much is not held against it.
    """
    messages = [choice["message"] for choice in choices]
    seen = sum(_size(message) for message in messages)
    contents = [message.get("content") for message in messages]
    pictured = any(_PICTURE in content for content in contents if isinstance(content, str))
    return weighed(report, estimated(prompt_bytes, seen, 0), fewest(seen, 1 if pictured else None))


def _is_text(choice: dict[str, Any], message: dict[str, Any], extras: frozenset[str]) -> bool:
    """Whether it is a text and no more, just as OpenAI says it: nothing else of it need be looked at."""
    return (
        _SELDOM.isdisjoint(message)
        and message.get("role") == "assistant"
        and type(message.get("content")) is str
        and choice.get("finish_reason") in _ENDS
        and "index" in choice
        and "error" not in choice
        and extras.isdisjoint(choice)
    )


def _fault(choice: dict[str, Any], message: dict[str, Any], status: int) -> Signal | None:
    """Why a choice is none that a client can read, or none that is whole."""
    if choice.get("error"):
        return inband(flatten({"error": choice["error"]}), Phase.HEADERS)
    if not all(isinstance(message.get(name), _READABLE) for name in _TEXTS):
        return _no_answer(status, "a malformed message")
    if choice.get("finish_reason") is None and not any(message[name] for name in message.keys() - _HOLLOW):
        return _no_answer(status, "neither an answer nor its end")
    if not _has_sound_calls(message):
        return _no_answer(status, "malformed tool calls")
    if isinstance(choice.get("finish_reason"), str) and choice["finish_reason"] in FAILED:
        return Signal(Kind.OVERLOADED, Phase.HEADERS, status, detail="the upstream gave up")
    return None


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


def _settle(number: int, choice: dict[str, Any], message: dict[str, Any], expected: Expected) -> bool:
    """Repairs of one choice; whether any was needed."""
    changed = "index" not in choice
    if changed:
        choice["index"] = number
    changed = drop(choice, expected.extras) or changed
    changed = settle_text(message) or changed
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
    if calls and expected.call_id:
        changed = _settle_ids(calls, expected.call_id, number) or changed
    if calls and expected.legacy:
        del message["tool_calls"]
        message["function_call"] = calls[0].get("function")
        changed = True
    reason = choice.get("finish_reason")
    said = reason if isinstance(reason, str) else "stop"
    word = finish_reason(said, called=bool(calls), legacy=expected.legacy)
    if word != reason:
        choice["finish_reason"] = word
        changed = True
    return changed


def _has_sound_calls(message: dict[str, Any]) -> bool:
    """Whether the tool calls, if there are any, are such as a client can run."""
    calls = message.get("tool_calls")
    if not calls:
        return True
    return isinstance(calls, list) and all(is_sound(call) and _is_named(call) for call in calls)


def _is_named(call: dict[str, Any]) -> bool:
    """Whether it says what it calls, for nobody can run it otherwise."""
    called = call.get("function") or call.get("custom")
    name = called.get("name") if isinstance(called, dict) else None
    return isinstance(name, str) and bool(name)


def _settle_call(call: dict[str, Any]) -> bool:
    """A type, and arguments as the text of an object: some leave out the one, or send no text or none."""
    changed = not call.get("type")
    if changed:
        call["type"] = "function"
    function = call.get("function")
    if function is not None:
        given = function.get("arguments")
        if not isinstance(given, str) or not given.strip():
            function["arguments"] = "{}" if isinstance(given, str) else dumps(given or {}).decode()
            changed = True
    return changed


def _settle_ids(calls: list[dict[str, Any]], call_id: str, choice: int) -> bool:
    """Ids by which clients tell calls apart and send results back: texts, and ours where there are none."""
    changed = False
    known: set[str] = set()
    for place, call in enumerate(calls):
        given = call.get("id")
        name = str(given) if type(given) is int else given
        if not isinstance(name, str) or not name or name in known:
            name = made_id(call_id, choice, place)
        known.add(name)
        if name != given:
            call["id"] = name
            changed = True
    return changed


def _size(message: dict[str, Any]) -> int:
    """Bytes of everything the caller can see; not what calls bring along, such as signatures."""
    total = _texts(message, _TEXTS) + _texts(message.get("function_call"), _OF_CALL)
    for call in message.get("tool_calls") or ():
        total += _texts(call.get("function"), _OF_CALL) + _texts(call.get("custom"), _OF_CALL)
    return total


def _texts(holder: Any, names: tuple[str, ...]) -> int:
    """Bytes of those members that are texts."""
    members = [holder.get(name) for name in names] if isinstance(holder, dict) else []
    return sum(size(text) for text in members if isinstance(text, str))
