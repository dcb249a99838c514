"""What a simulated upstream says: pure, from the request alone.

The words are fixed, so that lost or doubled ones are seen at once; counts are exact for these words.
Told to go on with a last message, as vLLM can be, it says what comes after as many words as that has.
Used by `server.py`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.simulator.script import Do

DEPTH_MAX = 32
"""How deep a sample follows a schema at all."""
DEPTH_PLAIN = 8
"""Below it the plainest is chosen, null or an empty list, so that recursive schemas end."""
ITEMS_MAX = 100
STRINGS: Mapping[str, str] = {
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "date-time": "2026-01-01T00:00:00Z",
    "duration": "PT1S",
    "email": "x@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}
"""A string of each format that clients ask for."""


THOUGHT = "Nobody was asked, so there is nothing to think about."
REFUSAL = "I'm sorry, but this simulated upstream was told to refuse."


class Called(NamedTuple):
    """A tool call."""

    name: str
    tokens: tuple[str, ...]
    """Joined: its arguments."""


class Said(Struct, frozen=True):
    """One answer, in tokens."""

    tokens: tuple[str, ...]
    """Joined: the content, or the arguments of the tool call."""
    tool: str | None
    """Name of the tool that is called, or None for content."""
    finish: str
    prompt_tokens: int
    more: tuple[Called, ...] = ()
    """Calls beside that one, at once."""
    thought: tuple[str, ...] = ()
    """Joined: what was thought before."""
    refused: bool = False
    """The tokens are no answer, but say why there is none."""

    @property
    def calls(self) -> tuple[Called, ...]:
        """Every tool call."""
        return () if self.tool is None else (Called(self.tool, self.tokens), *self.more)

    @property
    def output_tokens(self) -> int:
        """Everything that was said, called and thought."""
        return len(self.tokens) + len(self.thought) + sum(len(call.tokens) for call in self.more)

    def usage(self, choices: int) -> dict[str, Any]:
        """OpenAI's usage member, for so many choices that all say the same."""
        said = self.output_tokens * choices
        usage = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": said,
            "total_tokens": self.prompt_tokens + said,
        }
        if not self.thought:
            return usage
        return usage | {"completion_tokens_details": {"reasoning_tokens": len(self.thought) * choices}}


def say(name: str, body: Mapping[str, Any], do: Do) -> Said:
    """The answer of the upstream `name` to `body`, in OpenAI's members, as a script would have it.

    It thinks if it is asked to, and calls every tool that it is free to call.
    """
    prompt = max(1, len(orjson.dumps(body["messages"])) // 4)
    if do.refuse:
        return Said(_split(REFUSAL), None, "stop", prompt, refused=True)
    thought = _split(THOUGHT) if body.get("reasoning_effort") not in (None, "none") else ()
    calls = tuple(Called(str(tool["name"]), _split(_arguments(tool))) for tool in _tools(body))
    tokens = calls[0].tokens if calls else _split(_words(name) if do.prose else _text(name, body))
    if do.tokens is not None:
        tokens = _as_long(do.tokens, tokens if calls or _is_json(body) else ())
    if body.get("continue_final_message"):
        tokens = tokens[len(str(body["messages"][-1].get("content")).split()) :]
    tool = calls[0].name if calls else None
    said = Said(tokens, tool, "tool_calls" if calls else "stop", prompt, calls[1:], thought)
    cap = body.get("max_completion_tokens") or body.get("max_tokens")
    return _cut(said, cap) if isinstance(cap, int) and cap < said.output_tokens else said


def _as_long(number: int, must: tuple[str, ...]) -> tuple[str, ...]:
    """So many tokens: numbers, or behind what must be there (and may be more) blanks, which JSON bears."""
    if must:
        return must + (" ",) * (number - len(must))
    return tuple(f" {at}" for at in range(1, number + 1))


def _is_json(body: Mapping[str, Any]) -> bool:
    """Whether a text that answers is parsed by whoever asked."""
    return (body.get("response_format") or {}).get("type") in {"json_schema", "json_object"}


def _cut(said: Said, cap: int) -> Said:
    """No more tokens than that; what was thought comes first, and half a call alone."""
    thought = said.thought[:cap]
    return replace(said, tokens=said.tokens[: cap - len(thought)], finish="length", more=(), thought=thought)


def _split(text: str) -> tuple[str, ...]:
    words = text.split(" ")
    return (words[0], *(" " + word for word in words[1:]))


def _arguments(tool: Mapping[str, Any]) -> str:
    """What the tool's schema asks for; arguments are an object, whatever else that leaves open."""
    parameters = tool.get("parameters")
    schema = {"type": "object", **parameters} if isinstance(parameters, dict) else {"type": "object"}
    return orjson.dumps(sample(schema)).decode()


def _tools(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools to call: the one asked for, or all (one, if one at a time) when a user speaks last."""
    tools: list[dict[str, Any]] = [
        tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function"
    ]
    choice = body.get("tool_choice")
    if not tools or choice == "none":
        return []
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        return [next((tool for tool in tools if tool.get("name") == wanted), tools[0])]
    if choice != "required" and body["messages"][-1].get("role") != "user":
        return []
    return tools[:1] if body.get("parallel_tool_calls") is False else tools


def _text(name: str, body: Mapping[str, Any]) -> str:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return orjson.dumps(sample((form.get("json_schema") or {}).get("schema") or {})).decode()
    if form.get("type") == "json_object":
        return orjson.dumps({"simulated": True, "upstream": name}).decode()
    return _words(name)


def _words(name: str) -> str:
    return f"Simulated answer from {name}: no model was asked, these words were made up on this machine."


def sample(schema: Mapping[str, Any]) -> Any:
    """The smallest value that a JSON Schema allows, for the keywords that clients use."""
    return _sample(schema, schema, 0)


def _sample(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return None
    if "$ref" in schema:
        return _sample(_resolve(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _sample(_choose(schema[choice], depth), root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else None)
    return _typed(kind[0] if isinstance(kind, list) and kind else kind, schema, root, depth)


def _choose(choices: list[Any], depth: int) -> Any:
    """The first, or far down the null that ends an optional branch."""
    return {"type": "null"} if depth > DEPTH_PLAIN and {"type": "null"} in choices else choices[0]


def _typed(kind: Any, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties") or {}
        needed = schema.get("required", list(properties))
        return {name: _sample(properties.get(name), root, depth + 1) for name in needed}
    if kind == "array":
        number = schema.get("minItems", 0 if depth > DEPTH_PLAIN else 1)
        items = schema.get("items") or {}
        return [_sample(items, root, depth + 1) for _ in range(min(number, ITEMS_MAX))]
    if kind == "string":
        return STRINGS.get(schema.get("format", ""), "x".ljust(schema.get("minLength", 1), "x"))
    if kind in ("integer", "number"):
        return _number(schema)
    return True if kind == "boolean" else None


def _number(schema: Mapping[str, Any]) -> float:
    """The lowest that is allowed, or the highest where there is no lowest, or 1."""
    if "minimum" in schema or "exclusiveMinimum" not in schema:
        return schema.get("minimum", min(1, schema.get("maximum", 1)))  # type: ignore[no-any-return]
    return schema["exclusiveMinimum"] + 1  # type: ignore[no-any-return]


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step, {}) if isinstance(found, dict) and step else found
    return found
