"""Tools as vLLM takes them.

Called by `vllm.py` on its own shallow copy of a body; the lists inside are the caller's and are
replaced, never changed.
"""

from typing import Any


class NotFunctions(Exception):
    """The caller offers tools of another kind, which vLLM cannot call."""


def settle_tools(body: dict[str, Any]) -> None:
    """Old functions become tools, an empty list and a choice among nothing are left out."""
    if body.get("functions"):
        _modernise(body)
    for name in ("functions", "function_call"):
        body.pop(name, None)
    if any(message.get("role") == "function" or "function_call" in message for message in body["messages"]):
        body["messages"] = _modern_history(body["messages"])
    tools = body.get("tools")
    if not tools:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
        return
    if any(tool.get("type", "function") != "function" for tool in tools):
        raise NotFunctions
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        _narrow(body, choice.get("allowed_tools"))


def _modernise(body: dict[str, Any]) -> None:
    """`functions` and `function_call` as `tools` and `tool_choice`, one call at a time."""
    body["tools"] = [{"type": "function", "function": function} for function in body["functions"]]
    choice = body.get("function_call")
    if isinstance(choice, str):
        body["tool_choice"] = choice
    elif isinstance(choice, dict):
        body["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    body["parallel_tool_calls"] = False


def _narrow(body: dict[str, Any], allowed: Any) -> None:
    """`allowed_tools` by sending only those."""
    wanted = allowed if isinstance(allowed, dict) else {}
    listed = wanted.get("tools")
    names = {_name(tool) for tool in listed} if isinstance(listed, list) else set()
    body["tools"] = [tool for tool in body["tools"] if _name(tool) in names]
    body["tool_choice"] = "required" if wanted.get("mode") == "required" else "auto"
    if not body["tools"]:
        del body["tools"], body["tool_choice"]


def _name(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _modern_history(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Old function calls and results in the history, under ids made from their place."""
    out: list[dict[str, Any]] = []
    last = ""
    for place, message in enumerate(messages):
        function = message.get("function_call")
        if isinstance(function, dict):
            last = f"call_{place}"
            rest = {name: value for name, value in message.items() if name != "function_call"}
            rest["tool_calls"] = [{"id": last, "type": "function", "function": function}]
            out.append(rest)
        elif message.get("role") == "function":
            out.append({"role": "tool", "tool_call_id": last, "content": message.get("content")})
        else:
            out.append({name: value for name, value in message.items() if name != "function_call"})
    return out
