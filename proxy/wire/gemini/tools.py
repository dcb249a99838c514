"""Tools as Gemini declares them, and how the model may choose among them.

`request.py` calls `translate` on a body whose old functions have become tools. Schemas go as they
are, for `parametersJsonSchema` takes JSON Schema itself. The answer's side asks `declared` for the
names, because no call to a function that the caller did not offer may reach it.
"""

from collections.abc import Mapping
from typing import Any

from proxy.abilities import ModelFacts
from proxy.wire.gemini.names import legal
from proxy.wire.leeway import Leeway
from proxy.wire.modern_tools import is_function
from proxy.wire.unable import Unable

_MODES: Mapping[str, str] = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def declared(body: Mapping[str, Any]) -> list[str]:
    """The names of all functions that a caller's body offers, in the old way or the new."""
    tools = body.get("tools") or []
    functions = [tool.get("function") for tool in tools] + (body.get("functions") or [])
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return [name for name in names if isinstance(name, str)]


def translate(body: Mapping[str, Any], facts: ModelFacts, leeway: Leeway) -> dict[str, Any]:
    """The members `tools` and `toolConfig`; none if the caller offers no tools that are left."""
    choice = body.get("tool_choice")
    functions = _functions(body.get("tools") or [], leeway)
    if not functions:
        if choice not in (None, "none", "auto") and "tools" not in leeway.lost:
            raise Unable("tool_choice", "'tool_choice' needs 'tools'.", "invalid_value")
        return {}
    out: dict[str, Any] = {"tools": [{"functionDeclarations": [_declaration(one) for one in functions]}]}
    strict = any(function.get("strict") is True for function in functions)
    names = frozenset(function["name"] for function in functions)
    config = _config(choice, names, leeway)
    if config.get("mode") == "ANY" and facts.forced_tools is False:
        leeway.lose("tool_choice", "This model cannot be made to call a tool.")
        config = {**config, "mode": "VALIDATED"} if "allowedFunctionNames" in config else {}
    if strict and config.get("mode", "AUTO") == "AUTO":
        config = {"mode": "VALIDATED"}  # a strict tool wants its arguments held to the schema
    if config:
        out["toolConfig"] = {"functionCallingConfig": config}
    return out


def _functions(tools: list[dict[str, Any]], leeway: Leeway) -> list[dict[str, Any]]:
    """What can be declared; tools of other kinds are OpenAI's own."""
    functions: list[dict[str, Any]] = []
    for number, tool in enumerate(tools):
        where = f"tools[{number}]"
        function = tool.get("function")
        if not is_function(tool):
            leeway.lose(where, f"'{where}' must be a function.")
            continue
        if not isinstance(function, dict):
            raise Unable(where, f"'{where}' must be a function.")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise Unable(
                f"{where}.function.name", f"'{where}.function.name' must be a string.", "invalid_type"
            )
        functions.append(function)
    return functions


def _declaration(function: dict[str, Any]) -> dict[str, Any]:
    out = {"name": legal(function["name"])}
    if function.get("description"):
        out["description"] = function["description"]
    if function.get("parameters"):
        out["parametersJsonSchema"] = function["parameters"]
    return out


def _config(choice: Any, names: frozenset[str], leeway: Leeway) -> dict[str, Any]:
    """How the model may choose."""
    if choice is None:
        return {}
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    if isinstance(choice, dict):
        if choice.get("type") == "function":
            return _among([choice], names, "ANY")
        wanted = choice.get("allowed_tools")
        if choice.get("type") == "allowed_tools" and isinstance(wanted, dict):
            listed = wanted.get("tools")
            left = _left(listed if isinstance(listed, list) else [], leeway)
            if listed and not left:
                return {"mode": "NONE"}  # all it may call has been left out
            return _among(left, names, "ANY" if wanted.get("mode") == "required" else "VALIDATED")
    leeway.lose("tool_choice", "This 'tool_choice' is not known here.")
    return {}


def _left(tools: list[Any], leeway: Leeway) -> list[Any]:
    """The functions among the tools that are allowed."""
    left = [tool for tool in tools if is_function(tool)]
    if len(left) < len(tools):
        leeway.lose("tool_choice", "'tool_choice' can only allow functions here.")
    return left


def _among(tools: list[Any], names: frozenset[str], mode: str) -> dict[str, Any]:
    """Only these tools, each of which must be offered."""
    functions = [tool.get("function") if isinstance(tool, dict) else None for tool in tools]
    chosen = [function.get("name") for function in functions if isinstance(function, dict)]
    known = [name for name in chosen if isinstance(name, str) and name in names]
    if not known or len(known) != len(functions):
        raise Unable("tool_choice", "'tool_choice' names a function that 'tools' does not.", "invalid_value")
    return {"mode": mode, "allowedFunctionNames": [legal(name) for name in known]}
