"""Tools, and the choice among them, in the form that one upstream takes.

`openai_request.py` calls `fit_tools` on its own shallow copy of a body, `openai_messages.py` calls
`fit_calls` for the calls of an earlier answer; the lists inside are the caller's and are replaced,
never changed. A tool that cannot be offered is a loss that a caller may accept; a call that stands in
the history is content, and never left out.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.wire.modern_tools import is_function, settle_tools
from proxy.wire.openai_fit import Fit
from proxy.wire.unable import Unable

_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}
_FUNCTION_MEMBERS = frozenset({"name", "description", "parameters", "strict"})
_ONLY_FUNCTIONS = "The upstream knows no tools but functions."


def fit_tools(body: dict[str, Any], fit: Fit) -> None:
    """Everything that offers tools, or chooses among them."""
    able = fit.able
    chosen = "tool_choice" if body.get("tool_choice") is not None else "function_call"
    if able.tools == "functions":
        _drop_others(body, fit)
        settle_tools(body)
        _check_choice(body)
    if body.get("tools") and not able.forced_tools:
        _unforce(body, fit, chosen)
    elif fit.facts.forced_tools is False:
        _let_it_choose(body, fit)
    if body.get("tools") and (able.strip_inside or able.tool_parameters or not able.extra_message_members):
        body["tools"] = [_tool(tool, fit) for tool in body["tools"]]


def _drop_others(body: dict[str, Any], fit: Fit) -> None:
    """Tools that are no functions, and a choice of one of them."""
    tools = body.get("tools") or ()
    others = [number for number, tool in enumerate(tools) if not is_function(tool)]
    for number in others:
        fit.leeway.lose(f"tools[{number}]", _ONLY_FUNCTIONS)
    if others:
        body["tools"] = [tool for tool in tools if is_function(tool)]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "custom":
        fit.leeway.lose("tool_choice", _ONLY_FUNCTIONS)
        del body["tool_choice"]


def _check_choice(body: dict[str, Any]) -> None:
    """A function chosen by name must be offered."""
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return
    offered = [tool.get("function") for tool in body["tools"]]
    chosen = choice.get("function")
    name = chosen.get("name") if isinstance(chosen, dict) else None
    if not any(isinstance(function, dict) and function.get("name") == name for function in offered):
        raise Unable("tool_choice", "'tool_choice' names no function among 'tools'.", "invalid_value")


def _let_it_choose(body: dict[str, Any], fit: Fit) -> None:
    """A forced choice becomes a free one for a model that takes none; narrowed to some tools it stays so."""
    for name in ("tool_choice", "function_call"):
        freed = _freed(body.get(name))
        if freed is not None:
            fit.leeway.lose(name, "The upstream's model cannot be made to call a tool.")
            body[name] = freed


def _freed(choice: Any) -> Any:
    """The same choice without its force; None: it has none."""
    if not isinstance(choice, dict):
        return "auto" if choice in ("required", "any") else None
    allowed = choice.get("allowed_tools")
    if not isinstance(allowed, dict):
        return "auto"
    return (
        {**choice, "allowed_tools": {**allowed, "mode": "auto"}}
        if allowed.get("mode") == "required"
        else None
    )


def _unforce(body: dict[str, Any], fit: Fit, chosen: str) -> None:
    """A choice for an upstream that would not heed it; `chosen` is where it was written."""
    choice = body.get("tool_choice")
    if choice == "none":
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
        return
    if choice not in (None, "auto"):
        fit.leeway.lose(chosen, "The upstream cannot be made to call a tool.")
    body.pop("tool_choice", None)


def _tool(tool: dict[str, Any], fit: Fit) -> dict[str, Any]:
    able = fit.able
    out = {name: value for name, value in tool.items() if name not in able.strip_inside}
    function = tool.get("function")
    if not isinstance(function, dict):
        return out
    function = {
        name: value
        for name, value in function.items()
        if (able.extra_message_members or name in _FUNCTION_MEMBERS)
        and (able.nulls or value is not None)
        and name not in able.strip_inside
    }
    if able.tool_parameters and not function.get("parameters"):
        function["parameters"] = _NO_PARAMETERS
    if able.extra_message_members:
        return out | {"function": function}
    return {"type": "function", "function": function}


def fit_calls(calls: list[Any], fit: Fit, place: str) -> list[Any]:
    """The calls of an assistant's turn; raises `Unable` for one that the upstream cannot have made."""
    return [_call(call, fit, f"{place}[{number}]") for number, call in enumerate(calls)]


def _call(call: Any, fit: Fit, place: str) -> Any:
    if not isinstance(call, dict):
        raise Unable(place, f"'{place}' must be an object.", "invalid_type")
    if call.get("type", "function") != "function":
        raise Unable(place, _ONLY_FUNCTIONS)
    function = call.get("function")
    if not isinstance(function, dict):
        raise Unable(f"{place}.function", f"'{place}.function' must be an object.", "invalid_type")
    arguments = _arguments(function.get("arguments"), fit, f"{place}.function.arguments")
    if fit.able.extra_message_members:
        return {"type": "function", **call, "function": {**function, "arguments": arguments}}
    made = {"name": function.get("name"), "arguments": arguments}
    named = {"id": call["id"]} if "id" in call else {}
    return {**named, "type": "function", "function": made}


def _arguments(given: Any, fit: Fit, place: str) -> str:
    """Text of an object, which is what a model once wrote, more or less."""
    if isinstance(given, dict):
        return orjson.dumps(given).decode()
    text = given if isinstance(given, str) else ""
    if not text.strip():
        return "{}"
    if not fit.able.parses_arguments or _is_object(text):
        return text
    fit.leeway.lose(place, f"'{place}' is not a JSON object.")
    return orjson.dumps({"_raw": text}).decode()


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except ValueError:
        return False
