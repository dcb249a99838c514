"""Tools as Gemini declares them, and how the model may choose among them.

`request.py` calls `translate` on a body whose old functions have become tools. Schemas go as they
are, for `parametersJsonSchema` takes JSON Schema itself. The answer's side asks `declared` for the
names, because no call to a function that the caller did not offer may reach it.
"""

from collections.abc import Mapping
from typing import Any

from proxy.wire.gemini.names import legal
from proxy.wire.unable import Unable

_MODES: Mapping[str, str] = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def declared(body: Mapping[str, Any]) -> list[str]:
    """The names of all functions that a caller's body offers, in the old way or the new."""
    tools = body.get("tools") or []
    functions = [tool.get("function") for tool in tools] + (body.get("functions") or [])
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return [name for name in names if isinstance(name, str)]


def translate(body: Mapping[str, Any]) -> dict[str, Any]:
    """The members `tools` and `toolConfig`; none if the caller offers no tools."""
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if not tools:
        if choice in (None, "none", "auto"):
            return {}
        raise Unable("tool_choice", "'tool_choice' needs 'tools'.", "invalid_value")
    functions = [_function(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    out: dict[str, Any] = {"tools": [{"functionDeclarations": [_declaration(one) for one in functions]}]}
    names = {function["name"] for function in functions}
    config = _config(choice, names, strict=any(function.get("strict") is True for function in functions))
    if config:
        out["toolConfig"] = {"functionCallingConfig": config}
    return out


def _function(tool: dict[str, Any], where: str) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, dict):
        raise Unable(where, f"'{where}' must be a function.")
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise Unable(f"{where}.function.name", f"'{where}.function.name' must be a string.", "invalid_type")
    return function


def _declaration(function: dict[str, Any]) -> dict[str, Any]:
    out = {"name": legal(function["name"])}
    if function.get("description"):
        out["description"] = function["description"]
    if function.get("parameters"):
        out["parametersJsonSchema"] = function["parameters"]
    return out


def _config(choice: Any, names: set[str], *, strict: bool) -> dict[str, Any]:
    """How the model may choose; a strict tool wants its arguments held to the schema."""
    if choice in (None, "auto") and strict:
        return {"mode": "VALIDATED"}
    if choice is None:
        return {}
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    if isinstance(choice, dict):
        if choice.get("type") == "function":
            return _among([choice], names, "ANY")
        wanted = choice.get("allowed_tools")
        if choice.get("type") == "allowed_tools" and isinstance(wanted, dict):
            mode = "ANY" if wanted.get("mode") == "required" else "VALIDATED"
            return _among(wanted.get("tools"), names, mode)
    raise Unable("tool_choice", "This 'tool_choice' is not known here.")


def _among(tools: Any, names: set[str], mode: str) -> dict[str, Any]:
    """Only these tools, each of which must be offered."""
    listed = tools if isinstance(tools, list) else []
    functions = [tool.get("function") if isinstance(tool, dict) else None for tool in listed]
    chosen = [function.get("name") for function in functions if isinstance(function, dict)]
    known = [name for name in chosen if isinstance(name, str) and name in names]
    if not known or len(known) != len(functions):
        raise Unable("tool_choice", "'tool_choice' names a function that 'tools' does not.", "invalid_value")
    return {"mode": mode, "allowedFunctionNames": [legal(name) for name in known]}
