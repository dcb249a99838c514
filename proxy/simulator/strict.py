"""What Mistral, DeepSeek and Ollama refuse: requests judged as strictly as the real ones do.

Pure. `shaped.py` makes tongues of them; the tests of the wire hold every request that is built for
these servers against them. Each knows only what is known of its vendor, and each has its own
strictness: Mistral any member it does not know, DeepSeek any content but text and any lost
reasoning, Ollama pictures it would have to fetch.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from proxy.simulator.manners import Refusal, judge

FORBIDDEN = "extra_forbidden"
ORDER = "3230"
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh"})
_TOP = frozenset(
    {
        "frequency_penalty",
        "guardrails",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_mode",
        "random_seed",
        "reasoning_effort",
        "response_format",
        "safe_prompt",
        "stop",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    }
)
_ROLES: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "prefix"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
_PARTS: Mapping[str, frozenset[str]] = {
    "text": frozenset({"type", "text"}),
    "image_url": frozenset({"type", "image_url"}),
    "document_url": frozenset({"type", "document_url", "document_name"}),
    "input_audio": frozenset({"type", "input_audio"}),
}
_CALL = frozenset({"id", "type", "function", "index"})
_FUNCTION = frozenset({"name", "arguments"})
_TOOL = frozenset({"type", "function"})
_DECLARED = frozenset({"name", "description", "parameters", "strict"})
_NINE = re.compile(r"[A-Za-z0-9]{9}", re.ASCII)
_PICTURE = re.compile(r"data:image/(?:jpeg|jpg|png|webp);base64,[A-Za-z0-9+/=]*", re.ASCII)
_NOT_NULL = _TOP - {"temperature", "max_tokens", "random_seed", "tools", "n", "metadata", "reasoning_effort"}


def judge_mistral(body: Any) -> Refusal | None:
    """422 for every member and value out of place, 400 for messages out of order."""
    if not isinstance(body, dict):
        return _unprocessable("body", "Input should be a valid dictionary", "dict_type")
    for place, member in _strange(body):
        return _unprocessable(f"{place}.{member}", "Extra inputs are not permitted", FORBIDDEN)
    for place, problem in (*_members(body), *_tools(body), *_messages(body.get("messages"))):
        return _unprocessable(place, problem, "value_error")
    disorder = _disorder(body["messages"])
    if disorder is not None:
        return Refusal(400, disorder, "invalid_request_message_order", ORDER)
    return judge("mistral", body)


def _strange(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Members that no model of the vendor's has, with their place."""
    yield from (("body", name) for name in body.keys() - _TOP)
    for at, message in enumerate(_dicts(body.get("messages"))):
        place = f"body.messages.{at}.{message.get('role')}"
        yield from (
            (place, name) for name in message.keys() - _ROLES.get(str(message.get("role")), message.keys())
        )
        for part in _dicts(message.get("content")):
            yield from ((f"{place}.content", name) for name in part.keys() - _part_members(part))
        for call in _dicts(message.get("tool_calls")):
            yield from ((f"{place}.tool_calls", name) for name in call.keys() - _CALL)
            for function in _dicts([call.get("function")]):
                yield from ((f"{place}.tool_calls.function", name) for name in function.keys() - _FUNCTION)
    for tool in _dicts(body.get("tools")):
        yield from (("body.tools", name) for name in tool.keys() - _TOOL)
        for function in _dicts([tool.get("function")]):
            yield from (("body.tools.function", name) for name in function.keys() - _DECLARED)


def _part_members(part: Mapping[str, Any]) -> frozenset[str]:
    return _PARTS.get(str(part.get("type")), frozenset())


def _members(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in body.keys() & _NOT_NULL:
        if body[name] is None:
            yield f"body.{name}", "Input should not be null"
    effort = body.get("reasoning_effort")
    if effort is not None and not (isinstance(effort, str) and effort in _EFFORTS):
        yield "body.reasoning_effort", "Input should be a known effort"
    warmth = body.get("temperature")
    if isinstance(warmth, int | float) and not 0 <= warmth <= 1.5:
        yield "body.temperature", "Input should be less than or equal to 1.5"
    if warmth == 0 and body.get("top_p", 1) != 1:
        yield "body.top_p", "top_p must be 1 when using greedy sampling"


def _tools(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        yield "body.tools", "Input should be a valid list"
        return
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("parameters"), dict):
            yield "body.tools.function.parameters", "Field required"


def _messages(messages: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(messages, list) or not messages:
        yield "body.messages", "Field required"
        return
    for at, message in enumerate(messages):
        place = f"body.messages.{at}"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            yield place, "Input tag does not match any of the expected tags"
        elif message["role"] == "tool" and not _is_nine(message.get("tool_call_id")):
            yield f"{place}.tool_call_id", "Tool call id must be nine letters or digits"
        else:
            yield from _contents(message, place)


def _contents(message: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    for name in message:
        if message[name] is None and name != "content":
            yield f"{place}.{name}", "Input should not be null"
    if not isinstance(message.get("tool_calls") or [], list):
        yield f"{place}.tool_calls", "Input should be a valid list"
    for part in _dicts(message.get("content")):
        if part.get("type") == "input_audio" and not isinstance(part.get("input_audio"), str):
            yield f"{place}.content.input_audio", "Input should be a valid string"
    for call in _dicts(message.get("tool_calls")):
        if not _is_nine(call.get("id")):
            yield f"{place}.tool_calls.id", "Tool call id must be nine letters or digits"


def _is_nine(name: Any) -> bool:
    return isinstance(name, str) and _NINE.fullmatch(name) is not None


def _disorder(messages: list[dict[str, Any]]) -> str | None:
    """The first thing wrong with the order of the roles."""
    waiting = 0
    before = None
    for message in messages:
        role = message["role"]
        if role == "tool":
            if waiting == 0:
                return "Unexpected role 'tool' after role 'assistant'"
            waiting -= 1
        elif waiting:
            return "Not the same number of function calls and responses"
        elif role == "user" and before in ("tool", "user"):
            return f"Unexpected role 'user' after role '{before}'"
        elif role == "assistant" and not message.get("content") and not message.get("tool_calls"):
            return "Assistant message must have either content or tool_calls, but not none."
        else:
            waiting = len(message.get("tool_calls") or ())
        before = role
    if waiting:
        return "Not the same number of function calls and responses"
    last = messages[-1]
    if last["role"] == "system" or (last["role"] == "assistant" and last.get("prefix") is not True):
        return "Expected last role User or Tool (or Assistant with prefix True) for serving"
    return None


def judge_deepseek(body: Any) -> Refusal | None:
    """Text only, no role but four, and in thinking mode the reasoning of every turn with tool calls."""
    if not isinstance(body, dict):
        return _wrong("The body must be a JSON object.")
    thinking = body.get("thinking")
    if thinking not in (None, {"type": "enabled"}, {"type": "disabled"}):
        return _wrong("Failed to deserialize the JSON body: unknown variant of `thinking`")
    form = body.get("response_format") or {}
    if not isinstance(form, dict):
        return _wrong("Failed to deserialize the JSON body: invalid type of `response_format`")
    if form.get("type") == "json_schema":
        return _wrong("This response_format type is unavailable now")
    if body.get("reasoning_effort") not in (None, "low", "high", "max"):
        return _wrong("Failed to deserialize the JSON body: unknown variant of `reasoning_effort`")
    for at, message in enumerate(_dicts(body.get("messages"))):
        problem = _deepseek_message(message, thinking=thinking != {"type": "disabled"})
        if problem is not None:
            return _wrong(f"messages[{at}]: {problem}")
    if any(tool.get("type") != "function" for tool in _dicts(body.get("tools"))):
        return _wrong("tools: unknown variant, expected `function`")
    return judge("deepseek", body)


def _deepseek_message(message: Mapping[str, Any], *, thinking: bool) -> str | None:
    if message.get("role") not in _ROLES:
        return "unknown variant of `role`, expected one of `system`, `user`, `assistant`, `tool`"
    if "content" not in message:
        return "missing field `content`"
    if not isinstance(message["content"], str | None):
        return "invalid type: sequence, expected a string"
    if any(call.get("type") != "function" for call in _dicts(message.get("tool_calls"))):
        return "unknown variant of `tool_calls.type`, expected `function`"
    if thinking and message.get("tool_calls") and not isinstance(message.get("reasoning_content"), str):
        return "The `reasoning_content` in the thinking mode must be passed back to the API."
    return None


def judge_ollama(body: Any) -> Refusal | None:
    """Pictures it would have to fetch, content it cannot read, arguments that are no JSON."""
    if not isinstance(body, dict):
        return _wrong("The body must be a JSON object.")
    for message in _dicts(body.get("messages")):
        for part in _dicts(message.get("content")):
            problem = _ollama_part(part)
            if problem is not None:
                return _wrong(problem)
        for call in _dicts(message.get("tool_calls")):
            function = call.get("function")
            if not isinstance(function, dict) or not _is_object(function.get("arguments")):
                return _wrong("invalid tool call arguments")
    return judge("ollama", body)


def _ollama_part(part: Mapping[str, Any]) -> str | None:
    kind = part.get("type")
    if kind == "text":
        return None if isinstance(part.get("text"), str) else "invalid message format"
    if kind != "image_url":
        return "invalid message format"
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return None if isinstance(url, str) and _PICTURE.fullmatch(url) else "invalid image input"


def _is_object(text: Any) -> bool:
    try:
        return isinstance(text, str) and isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _wrong(message: str) -> Refusal:
    return Refusal(400, message, "invalid_request_error", "invalid_request_error")


def _unprocessable(place: str, message: str, kind: str) -> Refusal:
    return Refusal(422, message, "invalid_request_error", kind, place)
