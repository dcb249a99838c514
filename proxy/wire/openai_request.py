"""The request for an OpenAI-shaped upstream, rebuilt from the parsed call.

Dialects call `build`. The caller's body is read and never changed; no header of the caller's goes
on. What an upstream cannot take is renamed, said in another way, or left out (and named, unless it
was only a hint); where leaving it out would change the answer the call is refused with `UNABLE`, so
that the next target is tried, unless the route wants it left out and named (`drop_params`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from proxy.abilities import Capabilities
from proxy.call import Call, Identity, Signal, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.wire.dialect import NOTHING_RECALLED, Recalled
from proxy.wire.headers import bearer, outgoing
from proxy.wire.in_words import by_schema
from proxy.wire.leeway import Leeway
from proxy.wire.legacy import in_old_form
from proxy.wire.openai_fit import MAXIMA, SAMPLING, Fit, manners_of
from proxy.wire.openai_messages import translate
from proxy.wire.openai_tools import fit_tools
from proxy.wire.person import pseudonym
from proxy.wire.unable import Unable

PATH = "/chat/completions"

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
CONTINUES: Mapping[str, Any] = MappingProxyType(
    {"continue_final_message": True, "add_generation_prompt": False}
)
"""How an engine is told to go on with a last message of the assistant; left to itself it begins another,
or refuses it."""
_NO_THINKING: Mapping[str, Any] = {"type": "disabled"}


def build(
    call: Call, target: Target, upstream: Upstream, able: Capabilities, recalled: Recalled = NOTHING_RECALLED
) -> UpstreamRequest | Signal:
    """The request, or a `Signal` that this upstream cannot express the call."""
    facts = target.facts
    manners = manners_of(able, facts)
    fit = Fit(able, Leeway(call.drop_params), facts, recalled, manners)
    body = dict(call.body)
    try:
        if (
            not manners.minds.isdisjoint(body)
            or (manners.passes is not None and not body.keys() <= manners.passes)
            or (not able.nulls and None in body.values())
            or (able.tools == "functions" and in_old_form(body["messages"]))
        ):
            _fit_members(body, call, fit)
        elif able.rename:
            _rename(body, able)
        body["messages"] = translate(body["messages"], fit)
        if able.continue_flag and body["messages"][-1]["role"] == "assistant":
            _continue(body, call, fit)
        if not able.schemas:
            _loosen_schema(body, fit)
    except Unable as unable:
        return unable.signal()
    body["model"] = target.model
    if call.output_cap is not None or facts.output is not None:
        _cap_output(call, body, fit)
    if call.stream or "stream_options" in body:
        _ask_usage(call, body, fit)
    return UpstreamRequest(
        PATH, outgoing(call, upstream, bearer(upstream)), orjson.dumps(body), fit.leeway.lost
    )


def is_used(name: str, value: Any) -> bool:
    """Whether a member asks for anything beyond what happens without it."""
    return value is not None and (name, value) not in _IDLE


def _fit_members(body: dict[str, Any], call: Call, fit: Fit) -> None:
    """All that some upstreams want otherwise (`Manners.minds`): what most calls do not hold."""
    able = fit.able
    _refuse(body, fit)
    fit_tools(body, fit)
    if able.person is not None:
        _name_person(body, able.person, call.identity)
    if able.efforts or able.thinking_switch:
        _set_effort(body, able)
    _rename(body, able)
    _sample(body, fit)
    _leave_out(body, fit, call.body)


def _refuse(body: dict[str, Any], fit: Fit) -> None:
    """Members whose loss would change the answer; the first that the caller wrote is named."""
    for name in tuple(body):
        if name in fit.able.refuse:
            if is_used(name, body[name]):
                fit.leeway.lose_member(name)
            del body[name]


def _name_person(body: dict[str, Any], member: str, identity: Identity) -> None:
    """The end person by a pseudonym, unless the caller fills the upstream's own member."""
    for name in ("safety_identifier", "user"):
        body.pop(name, None)
    person = pseudonym(identity)
    if person is not None and body.get(member) is None:
        body[member] = person


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


def _continue(body: dict[str, Any], call: Call, fit: Fit) -> None:
    """Have the last message gone on with, unless there is no text in it, or the caller decides otherwise."""
    # As the caller has it: a refusal goes up as a text, but is an answer that is over.
    begun = call.body["messages"][-1].get("content")
    if not _says_something(begun) or body["messages"][-1].get("tool_calls"):
        return
    able, facts = fit.able, fit.facts
    goes_on = able.prefill if facts.prefill is None else facts.prefill
    if (
        goes_on
        and body.get("continue_final_message") in (None, True)
        and body.get("add_generation_prompt") is None
    ):
        body.update(CONTINUES)


def _says_something(content: Any) -> bool:
    """Whether there is more than white space in a text, or in one of its parts."""
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return any(isinstance(text, str) and text.strip() for text in texts)


def _rename(body: dict[str, Any], able: Capabilities) -> None:
    """OpenAI's names into the upstream's; a value given under the upstream's own name wins."""
    for old, new in able.rename:
        if old in body:
            value = body.pop(old)
            if body.get(new) is None:
                body[new] = value


def _sample(body: dict[str, Any], fit: Fit) -> None:
    """Within the range that the upstream takes, and not at all where its model takes none."""
    for name in SAMPLING if fit.facts.sampling is False else ():
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
    able, passes = fit.able, fit.manners.passes
    for name in tuple(body):
        if name in able.strip or (passes is not None and name not in passes):
            if name not in _HINTS and name in given and is_used(name, body[name]):
                fit.leeway.note(name)
            del body[name]
        elif body[name] is None and not able.nulls:
            del body[name]


def _cap_output(call: Call, body: dict[str, Any], fit: Fit) -> None:
    """The maximum that was held against limits, where the caller names none; never over the model's."""
    maxima, most, cap = fit.manners.maxima, fit.facts.output, call.output_cap
    named = False
    for name in maxima:
        value = body.get(name)
        if value is not None:
            named = True
            if most is not None and type(value) is int and value > most:
                body[name] = most
                fit.leeway.note(_said(call, name))
    if cap is not None and not named:
        body[maxima[0]] = cap if most is None or cap < most else most


def _said(call: Call, name: str) -> str:
    """The name under which the caller wrote a maximum that goes up as `name`."""
    return next((said for said in MAXIMA if call.body.get(said) is not None), name)


def _ask_usage(call: Call, body: dict[str, Any], fit: Fit) -> None:
    """Usage is always asked for: the ledger needs it, whoever else does."""
    able, tells = fit.able, fit.manners.tells_usage
    if not tells or not (call.stream or able.accept is None):
        body.pop("stream_options", None)
    if not call.stream:
        return
    body["stream"] = True
    if tells:
        asked = call.body.get("stream_options") or {}
        options = {**(asked if able.accept is None else {}), "include_usage": True}
        if call.mends and able.running_usage:
            options["continuous_usage_stats"] = True
        body["stream_options"] = options
