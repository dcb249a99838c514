"""Repairs that whole answers and streamed pieces share.

Each takes a part of a parsed answer, puts it right in place where an upstream departs from OpenAI's
form, and says whether it changed anything: what was not changed goes out as the bytes that came.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

FAILED = frozenset({"error", "abort", "insufficient_system_resource"})
"""Finish reasons by which an upstream admits that it broke."""

NOT_SHOWN = "none"
"""Instead of a name: the route's callers get no reasoning."""
REASONING = "reasoning_content"

_COUNTS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
"""Members of a report that no client expects to be null."""

_FINISHES: Mapping[str, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
    "model_length": "length",
    "max_tokens": "length",
    "tool_use": "tool_calls",
}


def made_id(call_id: str, choice: int, place: int) -> str:
    """An id for a tool call that came without one, from its place: the same again if this is done again."""
    at = f"{choice}/{place}" if choice else str(place)
    return f"call_{hashlib.sha256(f'{call_id}/{at}'.encode()).hexdigest()[:24]}"


def finish_reason(reason: str, *, called: bool, legacy: bool) -> str:
    """OpenAI's word for why the answer ended; an answer with calls always ends by them."""
    word = _FINISHES.get(reason, "stop")
    if called and word in {"stop", "tool_calls"}:
        return "function_call" if legacy else "tool_calls"
    return word


def drop(part: dict[str, Any], names: frozenset[str]) -> bool:
    """Leave out an engine's own members. Null ones stay: they tell nothing and cost a rewrite."""
    if names.isdisjoint(part):
        return False
    spare = [name for name in names & part.keys() if part[name] is not None]
    for name in spare:
        del part[name]
    return bool(spare)


def settle_text(part: dict[str, Any]) -> bool:
    """One string of content, and reasoning under the one name that clients read."""
    changed = False
    content = part.get("content")
    if isinstance(content, list):
        part["content"], thought = _divide(content)
        if thought:
            part["reasoning_content"] = thought
        changed = True
    if "reasoning" in part:
        reasoning = part["reasoning"]
        if isinstance(reasoning, str):
            del part["reasoning"]
            if part.get(REASONING) is None:  # some write down both names, and fill in one
                part[REASONING] = reasoning
            changed = True
    return changed


def name_reasoning(part: dict[str, Any], field: str) -> bool:
    """Reasoning under the name that the route has for it, or not at all; whether it was there."""
    if field == REASONING or REASONING not in part:
        return False
    thought = part.pop(REASONING)
    if field != NOT_SHOWN:
        part[field] = thought
    return True


def settle_counts(usage: Any) -> bool:
    """Make a count that is null 0, and their sum the sum; whether any was."""
    if type(usage) is not dict or None not in usage.values():
        return False
    empty = [name for name in _COUNTS & usage.keys() if usage[name] is None]
    for name in empty:
        parts = [usage.get(part) or 0 for part in _COUNTS - {"total_tokens"}]
        sound = name == "total_tokens" and all(isinstance(part, int) for part in parts)
        usage[name] = sum(parts) if sound else 0
    return bool(empty)


def _divide(items: list[Any]) -> tuple[str, str]:
    """The answer and the thinking in a list of content parts."""
    text: list[str] = []
    thought: list[str] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        if isinstance(item.get("text"), str):
            text.append(item["text"])
        thinking = item.get("thinking")
        if isinstance(thinking, str):
            thought.append(thinking)
        elif isinstance(thinking, list):
            thought.extend(
                piece["text"]
                for piece in thinking
                if isinstance(piece, dict) and isinstance(piece.get("text"), str)
            )
    return "".join(text), "".join(thought)
