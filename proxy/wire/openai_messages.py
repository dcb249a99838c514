"""The history of a conversation, in the form that one upstream takes.

`openai_request.py` calls `translate` with what the upstream can do. The caller's messages are never
changed: what must differ is copied. What a message says is never left out; what cannot be said there
raises `Unable`, because leaving it out would change what is asked. Reasoning that a caller lost since
the last turn is put back, but never over what the caller itself brings.
"""

import hashlib
import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from proxy.abilities import Capabilities
from proxy.wire.openai_fit import Fit
from proxy.wire.openai_parts import fit_content, is_settled
from proxy.wire.openai_thoughts import thought_in
from proxy.wire.openai_tools import fit_calls
from proxy.wire.unable import Unable

_REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"})
_ANSWERED = frozenset({"refusal", "audio", "annotations"})
"""Members of OpenAI's answers, which SDKs send back with the rest of the message."""
_KNOWN = frozenset({"role", "content", "tool_calls", "tool_call_id", "function_call", "prefix"})
_NAMED_ROLES = frozenset({"tool", "function"})
_CALLED = frozenset({"tool_calls", "tool_call_id"})
_LONGEST_ID = 40
_ALNUM9 = re.compile(r"[A-Za-z0-9]{9}", re.ASCII)
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def translate(messages: list[dict[str, Any]], fit: Fit) -> list[dict[str, Any]]:
    """The messages as the upstream wants them; most go as they are."""
    able, plain = fit.able, fit.manners.plain
    out = list(messages)
    for place, message in enumerate(messages):
        if len(message) == 2 and type(message.get("content")) is str:
            # A role and a text, as most are: every server takes that as it is.
            passes = message["role"] != "developer" or able.developer_role
        else:
            passes = plain and _passes(message, able)
        if not passes:
            out[place] = _Message(message, fit, f"messages[{place}]").translated()
    if able.merge_users:
        out = _merged(out)
    if able.prefix and out[-1].get("role") == "assistant" and not out[-1].get("tool_calls"):
        out[-1] = {**out[-1], "prefix": True}
    return out


def _passes(message: Mapping[str, Any], able: Capabilities) -> bool:
    """Whether a plain server takes this message as it is."""
    return (
        (able.developer_role or message["role"] != "developer")
        and _REASONING.isdisjoint(message)
        and (_CALLED.isdisjoint(message) or (able.tool_ids == "any" and able.reasoning == "strip"))
        and (
            not able.strip_inside
            or not isinstance(message.get("content"), list)
            or is_settled(message["content"], able)
        )
    )


class _Message:
    """One message on its way into the upstream's form."""

    def __init__(self, message: Mapping[str, Any], fit: Fit, place: str) -> None:
        self._given = message
        self._fit = fit
        self._able = fit.able
        self._place = place
        self._out = {name: value for name, value in message.items() if name not in _REASONING}

    def translated(self) -> dict[str, Any]:
        """The message, member by member."""
        out, able = self._out, self._able
        if out["role"] == "developer" and not able.developer_role:
            out["role"] = "system"
        if isinstance(out.get("content"), list):
            out["content"] = fit_content(out["content"], self._fit, f"{self._place}.content")
        if not able.answer_members:
            self._without_answers()
        if able.tools == "functions":
            self._functions()
        self._reasoning()
        if able.tool_ids != "any":
            _rename_ids(out, able)
        if not able.extra_message_members:
            self._known_only()
        if not able.nulls:
            out = {name: value for name, value in out.items() if value is not None}
        return out

    def _without_answers(self) -> None:
        """What OpenAI says of an answer besides its text; a refusal is its text."""
        out = self._out
        if out.get("audio") is not None:
            raise Unable(f"{self._place}.audio", "The upstream knows no sound of earlier answers.")
        refusal = out.get("refusal")
        if isinstance(refusal, str) and refusal and not out.get("content"):
            out["content"] = refusal
        for name in _ANSWERED & out.keys():
            del out[name]

    def _functions(self) -> None:
        """Calls of functions, and no trace of others."""
        out = self._out
        calls = out.get("tool_calls")
        if isinstance(calls, list) and calls:
            out["tool_calls"] = fit_calls(calls, self._fit, f"{self._place}.tool_calls")
        elif "tool_calls" in out:
            del out["tool_calls"]  # an empty list, or a null, is more than some servers bear
        if self._able.flatten_content:
            out.setdefault("content", None)

    def _reasoning(self) -> None:
        """The caller's own, else what was kept, else an empty one where there must be one."""
        able = self._able
        if able.reasoning == "strip":
            return
        thought = self._given.get("reasoning_content")
        if not isinstance(thought, str):
            thought = self._given.get("reasoning")
        if not isinstance(thought, str):
            thought = self._recalled()
        if thought is not None:
            self._out[able.reasoning] = thought

    def _recalled(self) -> str | None:
        calls = self._given.get("tool_calls")
        if self._given["role"] != "assistant" or not isinstance(calls, list) or not calls:
            return None
        for call in calls:
            name = call.get("id") if isinstance(call, dict) else None
            state = self._fit.recalled.get(name) if isinstance(name, str) else None
            thought = None if state is None else thought_in(state)
            if thought is not None:
                return thought
        return "" if self._able.reasoning_required else None

    def _known_only(self) -> None:
        kept = _KNOWN if self._out["role"] not in _NAMED_ROLES else _KNOWN | {"name"}
        for name in self._out.keys() - kept - {self._able.reasoning}:
            del self._out[name]


def _rename_ids(message: dict[str, Any], able: Capabilities) -> None:
    """The same id for a call and its result, in the letters that the upstream takes."""
    made = nine if able.tool_ids == "alnum9" else shorter
    if isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = made(message["tool_call_id"])
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {**call, "id": made(call["id"])}
            if isinstance(call, dict) and isinstance(call.get("id"), str)
            else call
            for call in calls
        ]


def nine(name: str) -> str:
    """`name` itself if it is nine letters or digits, else nine that stand for it."""
    if _ALNUM9.fullmatch(name):
        return name
    number = int.from_bytes(hashlib.sha256(name.encode(errors="replace")).digest())
    digits = []
    for _ in range(9):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(digits)


def shorter(name: str) -> str:
    """`name` itself if it is not too long for OpenAI, else what stands for it."""
    if len(name) <= _LONGEST_ID:
        return name
    return f"call_{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:24]}"


def _merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring messages of the user as one, in their order; turns that say nothing are none."""
    turns: list[list[dict[str, Any]]] = []
    for message in messages:
        if (
            message.get("role") == "assistant"
            and not message.get("content")
            and not message.get("tool_calls")
        ):
            continue
        if turns and message.get("role") == turns[-1][0].get("role") == "user":
            turns[-1].append(message)
        else:
            turns.append([message])
    return [_as_one(turn) for turn in turns] or messages


def _as_one(turn: list[dict[str, Any]]) -> dict[str, Any]:
    """The messages of one turn: put together at once, for there may be thousands."""
    if len(turn) == 1:
        return turn[0]
    contents = [message.get("content") for message in turn]
    texts = [content for content in contents if isinstance(content, str)]
    if len(texts) == len(contents):
        return {**turn[0], "content": "\n\n".join(texts)}
    opening = list(takewhile(lambda content: isinstance(content, str), contents))
    parts = _as_parts("\n\n".join(texts[: len(opening)])) if opening else []
    for content in contents[len(opening) :]:
        parts += _as_parts(content)
    return {**turn[0], "content": parts}


def _as_parts(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []
