"""A call made smaller for one target that cannot do all of it, where its route allows that.

`selection.py` asks what `can_drop`; `book.py` has a target's own copy of the call made before the
attempt. How the answer is made may be dropped; what it is about never is: pictures, sound, files,
the prompt's length and an answer begun are content, and a target that cannot take them is passed
over. The caller's body is read and never changed, and everything that goes is named.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from proxy.call import Call
from proxy.policy.fit import Ability, Lack, has_schema

BY_SCHEMA = "Answer with one JSON object and nothing else, valid under this JSON schema: "
"""Fewer tokens than the bytes of what the schema stood in, which were held: the hold still covers it."""
_SYSTEM = frozenset({"system", "developer"})


class Degraded(Struct, frozen=True):
    """A call as one target gets it."""

    call: Call
    dropped: tuple[str, ...] = ()
    """Members left out or weakened, for `x-fallthrough-degraded`."""


def degrade(call: Call, lacks: tuple[Lack, ...]) -> Degraded:
    """`call` without what a target `lacks`; the call itself where it lacks nothing."""
    if not lacks:
        return Degraded(call)
    missing = {lack.ability for lack in lacks}
    body = dict(call.body)
    dropped = [name for ability, drop in _DROPS.items() if ability in missing for name in drop(body)]
    return Degraded(replace(call, body=body), tuple(dict.fromkeys(dropped)))


def can_drop(lack: Lack) -> bool:
    """Whether the call still means the same, answered less well, without what is lacking."""
    return lack.ability in _DROPS or lack.ability in _LEFT_TO_THE_DIALECT


def _leave_out(*names: str) -> Callable[[dict[str, Any]], list[str]]:
    def drop(body: dict[str, Any]) -> list[str]:
        return [name for name in names if body.pop(name, None) is not None]

    return drop


def _ask_for_json(body: dict[str, Any]) -> list[str]:
    """No schema and no other JSON mode while tools are offered: an instruction alone."""
    if not (has_schema(body) and (body.get("tools") or body.get("functions"))):
        return []
    body["messages"] = _instructed(body["messages"], _instruction(body.pop("response_format")))
    return ["response_format"]


def _any_object(body: dict[str, Any]) -> list[str]:
    """JSON without the schema, which becomes an instruction."""
    if not has_schema(body):
        return []
    body["messages"] = _instructed(body["messages"], _instruction(body["response_format"]))
    body["response_format"] = {"type": "json_object"}
    return ["response_format"]


def _instruction(wanted: Mapping[str, Any]) -> str:
    given = wanted.get("json_schema")
    schema = given.get("schema") if isinstance(given, Mapping) else None
    return BY_SCHEMA + json.dumps(schema or {}, ensure_ascii=False, separators=(",", ":"))


def _instructed(messages: list[Any], line: str) -> list[Any]:
    """The line ends the system message that opens the conversation: many templates know no second one."""
    first, *rest = messages
    content = first.get("content") if first["role"] in _SYSTEM else None
    if isinstance(content, str):
        return [{**first, "content": f"{content}\n\n{line}"}, *rest]
    if isinstance(content, list):
        return [{**first, "content": [*content, {"type": "text", "text": line}]}, *rest]
    return [{"role": "system", "content": line}, *messages]


_DROPS: Mapping[Ability, Callable[[dict[str, Any]], list[str]]] = {
    Ability.TOOLS: _leave_out("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls"),
    Ability.SCHEMAS_WITH_TOOLS: _ask_for_json,
    Ability.SCHEMAS: _any_object,
    Ability.LOGPROBS: _leave_out("logprobs", "top_logprobs"),
    Ability.CHOICES: _leave_out("n"),
    Ability.THINKING: _leave_out("reasoning_effort"),
}
"""What each lack costs. Each changes the copy's own members, never what they hold, and returns the names of
those it touched."""
_LEFT_TO_THE_DIALECT = frozenset({Ability.FORCED_TOOLS})
"""What a wire has its own next best for, and names itself: a free choice, narrowed or pleaded for."""
