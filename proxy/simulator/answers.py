"""What the simulated models say: fixed words, plausible tool calls, JSON that fits its schema.

`server.py` sends it. Pure and deterministic: the same request gets the same answer.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STOP_DEPTH = 8
"""How deep a schema that refers to itself is followed."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer before it takes a shape."""

    pieces: tuple[str, ...]
    """One for each token."""
    tool: str | None
    finish: str
    prompt_tokens: int
    choices: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def usage(self) -> dict[str, int]:
        completion = len(self.pieces) * self.choices
        total = self.prompt_tokens + completion
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": completion, "total_tokens": total}


def say(name: str, body: Mapping[str, Any], chunks: int | None) -> Said:
    """The answer of upstream `name` to `body`; `chunks` sets its length in words."""
    tool = _tool(body)
    if tool is not None:
        text = json.dumps(minimal(tool.get("parameters") or {"type": "object"}))
    else:
        text = _text(name, body, chunks)
    finish = "stop" if tool is None else "tool_calls"
    pieces = tuple(_words(_stopped(text, body.get("stop"))))
    cap = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(cap, int) and len(pieces) > cap:
        pieces, finish = pieces[:cap], "length"
    words = sum(len(str(one.get("content") or "").split()) + 3 for one in body["messages"])
    return Said(pieces, tool["name"] if tool else None, finish, words, int(body.get("n") or 1))


def _text(name: str, body: Mapping[str, Any], chunks: int | None) -> str:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return json.dumps(minimal(wanted.get("json_schema", {}).get("schema") or {}))
    if wanted.get("type") == "json_object":
        return json.dumps({"simulated": True, "upstream": name})
    if chunks is not None:
        return " ".join(["word"] * chunks)
    return f"Simulated answer from {name}: no model has read your request, but the road to one is open."


def _tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not tools or choice == "none" or body["messages"][-1].get("role") != "user":
        return None
    functions: list[Mapping[str, Any]] = [tool["function"] for tool in tools if tool.get("function")]
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    return next((one for one in functions if named in (None, one.get("name"))), None)


def _stopped(text: str, stop: Any) -> str:
    for word in [stop] if isinstance(stop, str) else stop or []:
        text = text.partition(word)[0]
    return text


def _words(text: str) -> Iterator[str]:
    first, *rest = text.split(" ")
    if first:
        yield first
    yield from (f" {word}" for word in rest)


def minimal(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The smallest value that fits `schema`."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > STOP_DEPTH:
        return None
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].split("/")[1:]:
            target = target[part]
        return minimal(target, root, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return minimal(schema[several][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        needed = schema.get("required", ())
        return {name: minimal(properties.get(name, {}), root, depth + 1) for name in needed}
    if kind == "array":
        return [minimal(schema.get("items", {}), root, depth + 1)] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return {"boolean": False, "null": None}.get(kind, "x" * max(1, schema.get("minLength", 1)))


def whole(said: Said, head: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as one `chat.completion`."""
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.tool is not None:
        message |= {"content": None, "tool_calls": [_call(said.tool, said.text)]}
    choices = [
        {"index": index, "message": message, "finish_reason": said.finish, "logprobs": None}
        for index in range(said.choices)
    ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": said.usage}


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "callsim01", "type": "function", "function": {"name": name, "arguments": arguments}}


def events(said: Said, head: Mapping[str, Any], include_usage: bool) -> Iterator[dict[str, Any]]:
    """The answer as `chat.completion.chunk` events, without the `[DONE]`."""
    chunk = {**head, "object": "chat.completion.chunk"}
    for delta, finish in _deltas(said):
        for index in range(said.choices):
            yield {**chunk, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}
    if include_usage:
        yield {**chunk, "choices": [], "usage": said.usage}


def _deltas(said: Said) -> Iterator[tuple[dict[str, Any], str | None]]:
    yield {"role": "assistant", "content": ""}, None
    if said.tool is not None:
        yield {"tool_calls": [{"index": 0, **_call(said.tool, "")}]}, None
    for piece in said.pieces:
        if said.tool is None:
            yield {"content": piece}, None
        else:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None
    yield {}, said.finish
