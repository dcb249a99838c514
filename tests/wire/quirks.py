"""Departures of upstreams that an official SDK cannot read, each with the mend that lets it.

A mend changes the parsed events (or the one parsed answer) of the original in place, before the SDK sees
them. It knows nothing of the code under test, and `test_oracles.py` holds that each is needed where
`oracles.py` declares it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any


def _parts(said: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every delta or message."""
    for chunk in said:
        for choice in chunk.get("choices") or ():
            yield choice["delta"] if "delta" in choice else choice["message"]


def _role_again(said: list[dict[str, Any]]) -> None:
    """Ollama says the role with every delta; the SDK strings them together."""
    for number, part in enumerate(_parts(said)):
        if number:
            part.pop("role", None)


def _role_never(said: list[dict[str, Any]]) -> None:
    """A Mistral model served by others never says it."""
    next(_parts(said))["role"] = "assistant"


def _index_with_gaps(said: list[dict[str, Any]]) -> None:
    """Calls are counted from 1, or with gaps: the SDK looks beyond the end of its list."""
    met: dict[int, int] = {}
    for part in _parts(said):
        for call in part.get("tool_calls") or ():
            call["index"] = met.setdefault(call["index"], len(met))


def _names_again(said: list[dict[str, Any]]) -> None:
    """Id and name come with every piece of a call, and are strung together."""
    met: set[int] = set()
    for part in _parts(said):
        for call in part.get("tool_calls") or ():
            if call["index"] in met:
                call.pop("id", None)
                call["function"].pop("name", None)
            met.add(call["index"])


def _arguments_never(said: list[dict[str, Any]]) -> None:
    """A call without arguments has none at all, where clients parse a text."""
    for part in _parts(said):
        for call in part.get("tool_calls") or ():
            call["function"]["arguments"] = call["function"].get("arguments") or "{}"


def _content_in_lists(said: list[dict[str, Any]]) -> None:
    """Mistral thinks in lists of parts, some of which are the answer."""
    for part in _parts(said):
        if isinstance(part.get("content"), list):
            items = part["content"]
            part["content"] = "".join(item.get("text", "") for item in items)
            thought = [piece["text"] for item in items for piece in item.get("thinking", ())]
            if thought:
                part["reasoning_content"] = "".join(thought)


def _reasoning_renamed(said: list[dict[str, Any]]) -> None:
    """Reasoning under the name that vLLM and Ollama give it."""
    for part in _parts(said):
        if "reasoning" in part:
            part["reasoning_content"] = part.pop("reasoning")


def _usage_overwritten(said: list[dict[str, Any]]) -> None:
    """A chunk follows the usage, and its null count overwrites it."""
    said.append(said.pop(next(at for at, chunk in enumerate(said) if chunk.get("usage"))))


def _reasoning_beside_output(said: list[dict[str, Any]]) -> None:
    """Reasoning is counted beside the answer, and both in the total."""
    for chunk in said:
        if chunk.get("usage"):
            spent = chunk["usage"]["completion_tokens_details"]["reasoning_tokens"]
            chunk["usage"]["completion_tokens"] += spent


def _stop_though_called(said: list[dict[str, Any]]) -> None:
    """The finish of a named tool is a plain stop."""
    for chunk in said:
        for choice in chunk.get("choices") or ():
            if choice.get("finish_reason") == "stop":
                choice["finish_reason"] = "tool_calls"


def _count_of_cache_elsewhere(said: list[dict[str, Any]]) -> None:
    """Cached tokens under an older name."""
    for chunk in said:
        usage = chunk.get("usage") or {}
        for name in ("prompt_cache_hit_tokens", "num_cached_tokens"):
            if name in usage:
                usage["prompt_tokens_details"] = {"cached_tokens": usage[name]}


def _arguments_in_pieces(said: list[dict[str, Any]]) -> None:
    """Google's SDK leaves it to its user to join them."""
    making: dict[str, Any] | None = None
    for chunk in said:
        for part in chunk["candidates"][0].get("content", {}).get("parts", ()):
            call = part.get("functionCall")
            if call is None or (making is None and not call.get("willContinue")):
                continue
            if making is None:
                making = call
                making["args"] = {}
            else:
                del part["functionCall"]
            for piece in call.pop("partialArgs", ()):
                _put(making["args"], piece)
            if not call.get("willContinue"):
                del making["willContinue"]
                making = None


def _put(holder: Any, piece: dict[str, Any]) -> None:
    steps = [
        int(place) if place else name or quoted
        for name, place, quoted in re.findall(r"\.(\w+)|\[(\d+)\]|\['([^']+)'\]", piece["jsonPath"])
    ]
    for step, following in pairwise(steps):
        holder = _at(holder, step, [] if isinstance(following, int) else {})
    value = next((value for name, value in piece.items() if name.endswith("Value")), None)
    before = _at(holder, steps[-1], "")
    holder[steps[-1]] = before + value if isinstance(value, str) else value


def _at(holder: Any, step: Any, otherwise: Any) -> Any:
    if isinstance(holder, dict):
        return holder.setdefault(step, otherwise)
    if step == len(holder):
        holder.append(otherwise)
    return holder[step]


def _names_made_legal(said: list[dict[str, Any]]) -> None:
    """Names that Gemini does not take go up as others, and the caller never sees those."""
    for chunk in said:
        for part in chunk["candidates"][0]["content"]["parts"]:
            if part.get("functionCall", {}).get("name") == "_3d_view_67f223be":
                part["functionCall"]["name"] = "3d-view"


def _compaction_apart(said: list[dict[str, Any]]) -> None:
    """Billed, and left out of the vendor's own total."""
    for answer in said:
        passes = answer["usage"]["iterations"]
        for name in ("input_tokens", "output_tokens"):
            answer["usage"][name] = sum(one[name] for one in passes)


def _answers_through_a_tool(said: list[dict[str, Any]]) -> None:
    """An older model's way to hold to a schema: the call's arguments are the answer."""
    for one in said:
        blocks = [one["content_block"]] if "content_block" in one else one.get("content", [])
        for block in blocks:
            if block["type"] == "tool_use":
                text = json.dumps(block["input"], separators=(",", ":")) if block["input"] else ""
                block.update(type="text", text=text)
        if one.get("delta", {}).get("type") == "input_json_delta":
            one["delta"] = {"type": "text_delta", "text": one["delta"]["partial_json"]}


def _calls_that_failed(said: list[dict[str, Any]]) -> None:
    """The upstream itself says that it was no call."""
    for chunk in said:
        head = chunk["candidates"][0]
        if head.get("finishReason") in {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"}:
            head["content"]["parts"] = []


def _choices_nobody_asked_for(said: list[dict[str, Any]]) -> None:
    for chunk in said:
        chunk["candidates"] = [head for head in chunk["candidates"] if head["index"] == 0]


def _details_that_are_none(said: list[dict[str, Any]]) -> None:
    for chunk in said:
        details = chunk["usageMetadata"]["promptTokensDetails"]
        chunk["usageMetadata"]["promptTokensDetails"] = [one for one in details if isinstance(one, dict)]


def _begins_without_choices(said: list[dict[str, Any]]) -> None:
    """Azure begins with a chunk that is of no choice and no model."""
    del said[0]


QUIRKS: Mapping[str, Callable[[list[dict[str, Any]]], None]] = {
    "answers_through_a_tool": _answers_through_a_tool,
    "arguments_in_pieces": _arguments_in_pieces,
    "arguments_never": _arguments_never,
    "begins_without_choices": _begins_without_choices,
    "calls_that_failed": _calls_that_failed,
    "choices_nobody_asked_for": _choices_nobody_asked_for,
    "details_that_are_none": _details_that_are_none,
    "compaction_apart": _compaction_apart,
    "content_in_lists": _content_in_lists,
    "count_of_cache_elsewhere": _count_of_cache_elsewhere,
    "index_with_gaps": _index_with_gaps,
    "names_again": _names_again,
    "names_made_legal": _names_made_legal,
    "reasoning_beside_output": _reasoning_beside_output,
    "reasoning_renamed": _reasoning_renamed,
    "role_again": _role_again,
    "role_never": _role_never,
    "stop_though_called": _stop_though_called,
    "usage_overwritten": _usage_overwritten,
}
