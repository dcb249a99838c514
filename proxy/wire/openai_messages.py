"""The history of a conversation, in the form that one upstream takes.

`openai_request.py` calls `translate` with an upstream's capabilities. The caller's messages are never
changed: what must differ is copied. A part that cannot be said there raises `Inexpressible`, because
leaving it out would change what is asked.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from proxy.table import Capabilities

_REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"})
_KNOWN = frozenset({"role", "content", "tool_calls", "tool_call_id", "function_call", "prefix"})
_NAMED_ROLES = frozenset({"tool", "function"})
_PARTS = frozenset({"type", "text", "image_url", "input_audio", "file", "refusal"})
_ALNUM9 = re.compile(r"[A-Za-z0-9]{9}", re.ASCII)
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Inexpressible(Exception):
    """The upstream has no way to say this; the text names the member, never its value."""


def translate(messages: list[dict[str, Any]], able: Capabilities) -> list[dict[str, Any]]:
    """The messages as an upstream of these capabilities wants them; most go as they are."""
    plain = able.nulls and able.extra_message_members and able.tool_ids == "any" and not able.flatten_content
    return [
        message
        if plain and message.get("role") != "developer" and _REASONING.isdisjoint(message)
        else _message(message, able)
        for message in messages
    ]


def _message(message: Mapping[str, Any], able: Capabilities) -> dict[str, Any]:
    out = {name: value for name, value in message.items() if name not in _REASONING}
    if out.get("role") == "developer" and not able.developer_role:
        out["role"] = "system"
    if able.reasoning != "strip":
        thought = message.get("reasoning_content", message.get("reasoning"))
        if isinstance(thought, str):
            out[able.reasoning] = thought
    if able.tool_ids == "alnum9":
        _shorten_ids(out)
    if isinstance(out.get("content"), list):
        out["content"] = _content(out["content"], able)
    if not able.extra_message_members:
        out = _known_only(out, able)
    if not able.nulls:
        out = {name: value for name, value in out.items() if value is not None}
    return out


def _known_only(message: dict[str, Any], able: Capabilities) -> dict[str, Any]:
    refusal = message.get("refusal")
    if isinstance(refusal, str) and not message.get("content"):
        message["content"] = refusal
    named = message.get("role") in _NAMED_ROLES
    return {
        name: value
        for name, value in message.items()
        if name in _KNOWN or name == able.reasoning or (named and name == "name")
    }


def _content(parts: list[Any], able: Capabilities) -> Any:
    if able.flatten_content:
        return "".join(_part_text(part) for part in parts)
    if able.extra_message_members:
        return parts
    return [
        {name: value for name, value in part.items() if name in _PARTS} if isinstance(part, dict) else part
        for part in parts
    ]


def _part_text(part: Any) -> str:
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else part
    if not isinstance(text, str):
        raise Inexpressible("content parts other than text")
    return text


def _shorten_ids(message: dict[str, Any]) -> None:
    """The same id for a call and its result, in the letters that the upstream takes."""
    if isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = nine(message["tool_call_id"])
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {**call, "id": nine(call["id"])}
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
