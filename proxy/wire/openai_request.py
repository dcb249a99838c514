"""The request for an OpenAI-shaped upstream, rebuilt from the parsed call.

Dialects call `build`. The caller's body is read and never changed; no header of the caller's goes
on. What an upstream cannot take is renamed, said in another way, or left out (and named, unless it
was only a hint); where leaving it out would change the answer the call is refused with `UNABLE`, so
that the next target is tried, unless the route wants it left out and named (`drop_params`).
"""

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.abilities import Capabilities
from proxy.call import Call, Signal, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.wire.dialect import NOTHING_RECALLED, Recalled
from proxy.wire.headers import bearer, outgoing
from proxy.wire.in_words import by_schema
from proxy.wire.leeway import Leeway
from proxy.wire.openai_fit import Fit
from proxy.wire.openai_messages import translate
from proxy.wire.openai_tools import fit_tools
from proxy.wire.person import pseudonym
from proxy.wire.unable import Unable

PATH = "/chat/completions"

_ALWAYS = frozenset({"model", "messages", "stream", "stream_options"})
"""Members that no allow-list needs to name."""
_HINTS = frozenset(
    {
        "metadata",
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
    ("temperature", 1),
    ("top_p", 1),
    ("store", False),
    ("parallel_tool_calls", True),
)
"""Values that ask for nothing: such a member may be left out silently."""
_SAMPLING = ("temperature", "top_p", "top_k")
_NO_THINKING: Mapping[str, Any] = {"type": "disabled"}
_MAXIMA = ("max_completion_tokens", "max_tokens")


def build(
    call: Call, target: Target, upstream: Upstream, able: Capabilities, recalled: Recalled = NOTHING_RECALLED
) -> UpstreamRequest | Signal:
    """The request, or a `Signal` that this upstream cannot express the call."""
    fit = Fit(able, Leeway(lenient=call.drop_params), target.facts, recalled)
    try:
        body = _fitted(call, target, fit)
    except Unable as unable:
        return unable.signal()
    return UpstreamRequest(
        PATH, outgoing(call, upstream, bearer(upstream)), orjson.dumps(body), fit.leeway.lost
    )


def is_used(name: str, value: Any) -> bool:
    """Whether a member asks for anything beyond what happens without it."""
    return value is not None and (name, value) not in _IDLE


def _fitted(call: Call, target: Target, fit: Fit) -> dict[str, Any]:
    able = fit.able
    body = dict(call.body)
    _refuse(body, fit)
    fit_tools(body, fit)
    if able.person is not None:
        _name_person(body, able.person, call.identity.tenant)
    if able.efforts or able.thinking_switch:
        _set_effort(body, able)
    _rename(body, able)
    _sample(body, fit, samples=target.facts.sampling is not False)
    _leave_out(body, fit, call.body)
    body["messages"] = translate(body["messages"], fit)
    if not able.schemas:
        _loosen_schema(body, fit)
    body["model"] = target.model
    _cap_output(call, body, fit, target.facts.output)
    _ask_usage(call, body, able)
    return body


def _refuse(body: dict[str, Any], fit: Fit) -> None:
    """Members whose loss would change the answer; the first that the caller wrote is named."""
    for name in tuple(body):
        if name in fit.able.refuse:
            if is_used(name, body[name]):
                fit.leeway.lose_member(name)
            del body[name]


def _name_person(body: dict[str, Any], member: str, tenant: str) -> None:
    """The end person by a pseudonym, unless the caller fills the upstream's own member."""
    named = [body.pop(name, None) for name in ("safety_identifier", "user")]
    person = named[0] or named[1]
    if person and body.get(member) is None:
        body[member] = pseudonym(tenant, person)


def _set_effort(body: dict[str, Any], able: Capabilities) -> None:
    """`reasoning_effort` in the words that the upstream has for it."""
    effort = body.get("reasoning_effort")
    if able.thinking_switch:
        thinking = body.get("thinking")
        if isinstance(thinking, dict):  # perhaps in Anthropic's form, which has more to it
            body["thinking"] = {"type": "disabled" if thinking.get("type") == "disabled" else "enabled"}
        elif effort == "none":
            body["thinking"] = _NO_THINKING
        if effort == "none" or body.get("thinking") == _NO_THINKING:
            body.pop("reasoning_effort", None)
            return
    for said, meant in able.efforts:
        if effort == said:
            body["reasoning_effort"] = meant


def _loosen_schema(body: dict[str, Any], fit: Fit) -> None:
    """A schema that nobody holds the answer to is at least told to the model."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return
    fit.leeway.lose("response_format", "The upstream cannot hold an answer to a JSON schema.")
    described = wanted.get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    body["response_format"] = {"type": "json_object"}
    body["messages"] = _instructed(body["messages"], by_schema(schema or {}))


def _instructed(messages: list[dict[str, Any]], line: str) -> list[dict[str, Any]]:
    """The line ends the message that opens the conversation, if that is the system's."""
    first, *rest = messages
    content = first.get("content") if first["role"] == "system" else None
    if isinstance(content, str):
        return [{**first, "content": f"{content}\n\n{line}"}, *rest]
    if isinstance(content, list):
        return [{**first, "content": [*content, {"type": "text", "text": f"\n\n{line}"}]}, *rest]
    return [{"role": "system", "content": line}, *messages]


def _rename(body: dict[str, Any], able: Capabilities) -> None:
    """OpenAI's names into the upstream's; a value given under the upstream's own name wins."""
    for old, new in able.rename:
        if old in body:
            value = body.pop(old)
            if body.get(new) is None:
                body[new] = value


def _sample(body: dict[str, Any], fit: Fit, *, samples: bool) -> None:
    """Within the range that the upstream takes, and not at all where its model takes none."""
    for name in () if samples else _SAMPLING:
        if is_used(name, body.pop(name, None)):
            fit.leeway.note(name)
    warmth, most = body.get("temperature"), fit.able.temperature_max
    if isinstance(warmth, bool) or not isinstance(warmth, int | float):
        return
    if most is not None and warmth > most:
        body["temperature"] = most
        fit.leeway.note("temperature")
    if fit.able.lone_zero and warmth == 0:
        body.pop("top_p", None)


def _leave_out(body: dict[str, Any], fit: Fit, given: Mapping[str, Any]) -> None:
    able = fit.able
    for name in tuple(body):
        allowed = able.accept is None or name in able.accept or name in _ALWAYS or name == able.person
        if name in able.strip or not allowed:
            if name not in _HINTS and name in given and is_used(name, body[name]):
                fit.leeway.note(name)
            del body[name]
        elif body[name] is None and not able.nulls:
            del body[name]


def _cap_output(call: Call, body: dict[str, Any], fit: Fit, most: int | None) -> None:
    """The maximum that was held against limits, where the caller names none; never over the model's."""
    usual = dict(fit.able.rename).get("max_completion_tokens", "max_completion_tokens")
    given = [name for name in dict.fromkeys((usual, *_MAXIMA)) if body.get(name) is not None]
    if not given and call.output_cap is not None:
        body[usual] = call.output_cap if most is None else min(call.output_cap, most)
    if most is None:
        return
    for name in given:
        if type(body[name]) is int and body[name] > most:
            body[name] = most
            fit.leeway.note(_said(call, name))


def _said(call: Call, name: str) -> str:
    """The name under which the caller wrote a maximum that goes up as `name`."""
    return next((said for said in _MAXIMA if call.body.get(said) is not None), name)


def _ask_usage(call: Call, body: dict[str, Any], able: Capabilities) -> None:
    """Usage is always asked for: the ledger needs it, whoever else does."""
    anything = able.usage_option and "stream_options" not in able.strip
    if not call.stream:
        if able.accept is not None or not anything:
            body.pop("stream_options", None)
        return
    body["stream"] = True
    if anything:
        asked = call.body.get("stream_options") or {}
        options = {**(asked if able.accept is None else {}), "include_usage": True}
        if call.mends and able.running_usage:
            options["continuous_usage_stats"] = True
        body["stream_options"] = options
    else:
        body.pop("stream_options", None)
