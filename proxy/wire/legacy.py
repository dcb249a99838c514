"""The old `functions` members, said in the new way.

Dialects whose upstreams know only tools call `settle_legacy` on their own shallow copy of a body;
the lists inside are the caller's and are replaced, never changed. Who asks in the old way is
answered in it too: that is the answer's side to remember.
"""

from typing import Any


def settle_legacy(body: dict[str, Any]) -> None:
    """`functions`, `function_call` and their traces in the history become tools and tool calls."""
    if body.get("functions"):
        _modernise(body)
    for name in ("functions", "function_call"):
        body.pop(name, None)
    if in_old_form(body["messages"]):
        body["messages"] = _modern_history(body["messages"])


def in_old_form(messages: list[dict[str, Any]]) -> bool:
    """Whether the history holds calls of `functions`, or their results."""
    for message in messages:  # noqa: SIM110  # half the time of a generator, and asked of every call
        if "function_call" in message or message["role"] == "function":
            return True
    return False


def _modernise(body: dict[str, Any]) -> None:
    """`functions` and `function_call` as `tools` and `tool_choice`, one call at a time."""
    body["tools"] = [{"type": "function", "function": function} for function in body["functions"]]
    choice = body.get("function_call")
    if isinstance(choice, str):
        body["tool_choice"] = choice
    elif isinstance(choice, dict):
        body["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    body["parallel_tool_calls"] = False


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
