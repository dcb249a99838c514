"""Tools, the choice among them, and the form of the answer.

`request.py` calls these on a body whose old `functions` are tools already (`modern_tools.py` does that
for every dialect). What a model refuses to be made to do is up to the request's leeway; a promise
of strictness that cannot be kept is taken back and noted, for the tool still works without it.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from proxy.abilities import ModelFacts
from proxy.wire.anthropic.content import cache_control
from proxy.wire.anthropic.schema import Load, Untightened, describe, tighten
from proxy.wire.leeway import Leeway
from proxy.wire.unable import Unable

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_ANYTHING: Mapping[str, Any] = {"type": "object", "properties": {}}
_COMBINED = ("anyOf", "oneOf", "allOf")
FORCES = frozenset({"any", "tool"})
"""Choices by which a model is made to call a tool."""
_ANSWER = "json_answer"


def answer_tool(body: Mapping[str, Any]) -> str | None:
    """The tool through which an older model is made to answer in a schema; None: none is needed.

    Whether it was sent depends on the model and on which tools were left out, neither of which a
    reader of the answer knows; but an answer through a tool that is no function of the caller's can
    only be that.
    """
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    functions = [tool.get("function") for tool in body.get("tools") or ()] + (body.get("functions") or [])
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return None if _ANSWER in names else _ANSWER


def definitions(tools: list[dict[str, Any]], load: Load, leeway: Leeway) -> list[dict[str, Any]]:
    """The caller's tools in the wire's form."""
    return [_definition(tool, f"tools[{number}]", load, leeway) for number, tool in enumerate(tools)]


def declared_anyway(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Bare declarations for a history that calls tools when the call itself offers none."""
    return [{"name": name, "input_schema": dict(_ANYTHING)} for name in names]


def _definition(tool: dict[str, Any], place: str, load: Load, leeway: Leeway) -> dict[str, Any]:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or _NAME.fullmatch(name) is None:
        at = f"{place}.function.name"
        raise Unable(at, f"'{at}' must be 1 to 64 letters, digits, '_' or '-'.", "invalid_value")
    out: dict[str, Any] = {"name": name}
    if isinstance(function.get("description"), str):
        out["description"] = function["description"]
    schema = _input_schema(function.get("parameters"), f"{place}.function.parameters", leeway)
    if function.get("strict") is True:
        schema = _strictly(out, schema, load, leeway)
    out["input_schema"] = schema
    control = cache_control(tool) or cache_control(function)
    if control is not None:
        out["cache_control"] = control
    return out


def _strictly(out: dict[str, Any], schema: dict[str, Any], load: Load, leeway: Leeway) -> dict[str, Any]:
    """The schema tightened, if all that the request asks for can still be compiled."""
    heavier = Load(load.strict_tools + 1, load.optional, load.unions)
    try:
        tight = tighten(schema, heavier)
    except Untightened:
        tight = None
    if tight is None or not heavier.bearable:
        leeway.note("tools.function.strict")
        return schema
    load.strict_tools, load.optional, load.unions = heavier.strict_tools, heavier.optional, heavier.unions
    out["strict"] = True
    return tight


def _input_schema(parameters: Any, place: str, leeway: Leeway) -> dict[str, Any]:
    if parameters is None or parameters == {}:
        return dict(_ANYTHING)
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise Unable(place, f"'{place}' must be the schema of an object.", "invalid_value")
    combined = {word: parameters[word] for word in _COMBINED if word in parameters}
    schema = {word: value for word, value in parameters.items() if word not in combined}
    if combined:
        leeway.lose(place, f"'{place}' must not combine schemas at its root.")
        describe(schema, combined)
    return {"type": "object", **schema}


class Choice(Struct, frozen=True):
    """What a request says of the choice among its tools."""

    member: dict[str, Any] | None = None
    """`tool_choice`; None: nothing."""
    plea: str = ""
    """What the model is asked to do where it cannot be made to; "": nothing."""


def choice(body: Mapping[str, Any], tools: list[dict[str, Any]], facts: ModelFacts, leeway: Leeway) -> Choice:
    """`tool_choice` and `parallel_tool_calls`."""
    picked = _picked(body.get("tool_choice"), tools, leeway)
    plea = ""
    if picked is not None and picked["type"] in FORCES and facts.forced_tools is False:
        leeway.lose("tool_choice", "The upstream's model cannot be made to call a tool.")
        plea = f"Call the tool `{picked['name']}` now." if "name" in picked else "Call one of the tools now."
        picked = {"type": "auto"}
    if body.get("parallel_tool_calls") is False:
        picked = picked or {"type": "auto"}
        if picked["type"] != "none":
            picked["disable_parallel_tool_use"] = True
    return Choice(picked, plea)


def _picked(wanted: Any, tools: list[dict[str, Any]], leeway: Leeway) -> dict[str, Any] | None:
    if wanted is None:
        return None
    if wanted in ("auto", "none"):
        return {"type": wanted}
    if wanted in ("required", "any"):
        return {"type": "any"}
    if isinstance(wanted, dict) and wanted.get("type") == "custom":
        leeway.lose("tool_choice", "The upstream knows no tools but functions.")
        return None
    function = wanted.get("function") if isinstance(wanted, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or all(tool["name"] != name for tool in tools):
        raise Unable("tool_choice", "'tool_choice' names no tool of 'tools'.", "invalid_value")
    return {"type": "tool", "name": name}


def answer_through(schema: dict[str, Any], description: Any, leeway: Leeway) -> dict[str, Any]:
    """The tool that an older model must call with its answer."""
    said = description if isinstance(description, str) else "Give the whole answer by calling this."
    shape = _input_schema(schema, "response_format", leeway)
    return {"name": _ANSWER, "description": said, "input_schema": shape}
