"""Tools in today's form, for upstreams that never knew the old one.

Dialects call `settle_tools` on their own shallow copy of a body; the lists inside are the caller's
and are replaced, never changed.
"""

from typing import Any

from proxy.wire.legacy import settle_legacy
from proxy.wire.unable import Unable


class NotFunctions(Exception):
    """The caller offers tools of another kind, which the upstream cannot call."""


def is_function(tool: Any) -> bool:
    """Whether a tool, or a choice of one, is not of a kind that only OpenAI has."""
    return not isinstance(tool, dict) or tool.get("type", "function") == "function"


def settle_tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Old functions become tools, an empty list and a choice among nothing are left out.

    Returns all that were offered before a choice narrowed them. Raises `Unable` for a choice among tools that
    are not offered.
    """
    settle_legacy(body)
    tools = body.get("tools")
    if not tools:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
        return []
    if not all(is_function(tool) for tool in tools):
        raise NotFunctions
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        _narrow(body, choice.get("allowed_tools"))
    return list(tools)


def _narrow(body: dict[str, Any], allowed: Any) -> None:
    """`allowed_tools` by sending only those; one that is not offered must not take the others with it."""
    wanted = allowed if isinstance(allowed, dict) else {}
    listed = wanted.get("tools")
    functions = [tool for tool in listed if is_function(tool)] if isinstance(listed, list) else []
    names = {name_of(tool) for tool in functions}
    if not listed or not names <= {name_of(tool) for tool in body["tools"]} - {None}:
        reason = "'tool_choice' allows a tool that 'tools' does not offer."
        raise Unable("tool_choice", reason, "invalid_value")
    body["tools"] = [tool for tool in body["tools"] if name_of(tool) in names]
    body["tool_choice"] = "required" if wanted.get("mode") == "required" else "auto"
    if not body["tools"]:  # all that is allowed are tools of another kind, which have been left out
        del body["tools"], body["tool_choice"]


def name_of(tool: Any) -> str | None:
    """The name of the function that a tool, or a choice of one, is."""
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None
