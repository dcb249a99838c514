"""The request for an OpenAI-shaped upstream, rebuilt from the parsed call.

Dialects call `build`. The caller's body is read and never changed; no header of the caller's goes
on. What an upstream cannot take is left out (and named, unless it was only a hint), renamed, or,
where leaving it out would change the answer, refused with `UNABLE` so that the next target is tried.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.call import Call, Kind, Phase, Signal, UpstreamRequest
from proxy.table import Capabilities, Target, Upstream
from proxy.wire.headers import bearer, outgoing
from proxy.wire.openai_messages import Inexpressible, translate

PATH = "/chat/completions"

_ALWAYS = frozenset({"model", "messages", "stream", "stream_options"})
"""Members that no allow-list needs to name."""
_HINTS = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "stream_options",
        "user",
        "verbosity",
    }
)
"""Members whose loss no caller needs to be told of."""
_IDLE: tuple[tuple[str, Any], ...] = (
    ("n", 1),
    ("logprobs", False),
    ("top_logprobs", 0),
    ("modalities", ["text"]),
    ("tools", []),
    ("functions", []),
    ("tool_choice", "none"),
    ("logit_bias", {}),
    ("response_format", {"type": "text"}),
    ("frequency_penalty", 0),
    ("presence_penalty", 0),
    ("store", False),
    ("parallel_tool_calls", True),
)
"""Values that ask for nothing: such a member may be left out silently."""
_MAXIMA = ("max_completion_tokens", "max_tokens")


def build(call: Call, target: Target, upstream: Upstream, able: Capabilities) -> UpstreamRequest | Signal:
    """The request, or a `Signal` that this upstream cannot express the call."""
    return render(call, dict(call.body), target, upstream, able)


def render(
    call: Call, body: dict[str, Any], target: Target, upstream: Upstream, able: Capabilities
) -> UpstreamRequest | Signal:
    """As `build`, from a body that is the dialect's own shallow copy."""
    degraded: list[str] = []
    try:
        _refuse(body, able.refuse)
        _rename(body, able.rename)
        _leave_out(body, able, degraded)
        body["messages"] = translate(body["messages"], able)
    except Inexpressible as reason:
        return Signal(Kind.UNABLE, Phase.CONNECT, detail=f"cannot express {reason}")
    body["model"] = target.model
    _cap_output(call, body, able)
    _ask_usage(call, body, able)
    headers = outgoing(call, upstream, bearer(upstream))
    return UpstreamRequest(PATH, headers, orjson.dumps(body), tuple(degraded))


def is_used(name: str, value: Any) -> bool:
    """Whether a member asks for anything beyond what happens without it."""
    return value is not None and (name, value) not in _IDLE


def _refuse(body: dict[str, Any], refused: Iterable[str]) -> None:
    for name in refused:
        if name in body:
            if is_used(name, body[name]):
                raise Inexpressible(name)
            del body[name]


def _rename(body: dict[str, Any], names: Iterable[tuple[str, str]]) -> None:
    """OpenAI's names into the upstream's; a value given under the upstream's own name wins."""
    for old, new in names:
        if old in body:
            value = body.pop(old)
            if body.get(new) is None:
                body[new] = value


def _leave_out(body: dict[str, Any], able: Capabilities, degraded: list[str]) -> None:
    for name in tuple(body):
        allowed = able.accept is None or name in able.accept or name in _ALWAYS
        if name in able.strip or not allowed:
            if name not in _HINTS and is_used(name, body[name]):
                degraded.append(name)
            del body[name]
        elif body[name] is None and not able.nulls:
            del body[name]


def _cap_output(call: Call, body: dict[str, Any], able: Capabilities) -> None:
    """The maximum that was held against limits, where the caller names none."""
    renamed = dict(able.rename)
    name = renamed.get("max_completion_tokens", "max_completion_tokens")
    if call.output_cap is not None and all(body.get(maximum) is None for maximum in (name, *_MAXIMA)):
        body[name] = call.output_cap


def _ask_usage(call: Call, body: dict[str, Any], able: Capabilities) -> None:
    """Usage is always asked for: the ledger needs it, whoever else does."""
    if not call.stream:
        return
    body["stream"] = True
    if able.usage_option and "stream_options" not in able.strip:
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
    else:
        body.pop("stream_options", None)
