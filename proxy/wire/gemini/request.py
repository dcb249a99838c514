"""The request for Gemini, made from the parsed call.

The dialect calls `build`. Every member that a caller may send has its fate here: translated, left
out as a hint, left out with a note, or lost, which `wire/leeway.py` judges by what the route allows.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from proxy.abilities import Capabilities, ModelFacts
from proxy.call import Call, Signal, UpstreamRequest
from proxy.table import Target, Upstream
from proxy.wire.dialect import Recalled
from proxy.wire.gemini.contents import translate as contents
from proxy.wire.gemini.generation import configure
from proxy.wire.gemini.tools import translate as tools
from proxy.wire.headers import outgoing
from proxy.wire.leeway import Leeway
from proxy.wire.legacy import settle_legacy
from proxy.wire.openai_request import is_used
from proxy.wire.tolerant import dumps
from proxy.wire.unable import Unable

TRANSLATED = frozenset(
    {
        "frequency_penalty",
        "function_call",
        "functions",
        "include_reasoning",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
    }
)
HINTS = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "user",
        "verbosity",
    }
)
"""Left out silently. Gemini's own `store` means logging: it is another thing."""
NOTED = frozenset({"parallel_tool_calls"})
"""Left out, and the caller is told; so is every member that nobody knows."""
REFUSED = frozenset({"audio", "logit_bias", "modalities", "moderation", "web_search_options"})
"""Without these the answer would be another one."""
NEEDS: Mapping[str, str] = {
    "functions": "tools",
    "logprobs": "logprobs",
    "n": "choices",
    "tools": "tools",
    "top_logprobs": "logprobs",
}
"""The fact about a model that a member needs. What nobody knows (None) is tried ..."""
UNTRIED = frozenset({"choices"})
"""... but for these, which most models refuse: they must be known to be so."""

_ALWAYS = frozenset({"messages"})
"""Members that no table can take away."""

_TIERS: Mapping[str, str] = {
    "default": "standard",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
}
_MODEL = re.compile(r"(?:(?:models|tunedModels)/)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
"""Names that can stand in a path without leading anywhere else."""


def build(call: Call, target: Target, upstream: Upstream, recalled: Recalled) -> UpstreamRequest | Signal:
    """The request, or a `Signal` that Gemini cannot express the call."""
    leeway = Leeway(lenient=call.drop_params)
    try:
        path = _path(target.model, stream=call.stream)
        body = _kept(call.body, upstream.capabilities, target, leeway)
        data = dumps(_body(call, body, target, recalled, leeway))
    except Unable as unable:
        return unable.signal()
    return UpstreamRequest(path, outgoing(call, upstream, _key(upstream)), data, leeway.lost)


def _path(model: str, *, stream: bool) -> str:
    if _MODEL.fullmatch(model) is None:
        raise Unable("model", "The model's name cannot stand in a path.", "model_not_found")
    name = model if "/" in model else f"models/{model}"
    return f"/{name}:streamGenerateContent?alt=sse" if stream else f"/{name}:generateContent"


def _key(upstream: Upstream) -> tuple[tuple[str, str], ...]:
    """The credential in a header: in the URL it would end in logs."""
    return () if upstream.api_key is None else (("x-goog-api-key", upstream.api_key.reveal()),)


def _kept(given: Mapping[str, Any], able: Capabilities, target: Target, leeway: Leeway) -> dict[str, Any]:
    """What will be translated, without nulls."""
    body: dict[str, Any] = {}
    refused, translated = _fates(able, target.facts)
    for name, value in given.items():
        if name in refused:
            if is_used(name, value):
                leeway.lose_member(name)
        elif name in translated:
            if value is not None:
                body[name] = value
        elif name not in HINTS and is_used(name, value):
            leeway.note(name)
    return body


@lru_cache(maxsize=256)
def _fates(able: Capabilities, facts: ModelFacts) -> tuple[frozenset[str], frozenset[str]]:
    """Members that are refused, and those that are translated; remembered, for every call asks."""
    return (REFUSED | able.refuse | _beyond(facts)) - _ALWAYS, TRANSLATED - (able.strip - _ALWAYS)


def _beyond(facts: ModelFacts) -> frozenset[str]:
    """The members that the model is known not to serve, or not known to."""
    able = {fact: getattr(facts, fact) for fact in NEEDS.values()}
    unable = {fact for fact, known in able.items() if known is False or (known is None and fact in UNTRIED)}
    return frozenset(member for member, fact in NEEDS.items() if fact in unable)


def _body(
    call: Call, body: dict[str, Any], target: Target, recalled: Recalled, leeway: Leeway
) -> dict[str, Any]:
    settle_legacy(body)
    signed = target.facts.signed_calls is True
    system, turns = contents(body["messages"], recalled, leeway, signed=signed)
    out: dict[str, Any] = {"contents": turns}
    offered = tools(body, target.facts, leeway)
    if not offered:
        body.pop("tools", None)
    config, asked = configure(body, target.facts, call.output_cap, leeway)
    if system or asked:
        out["systemInstruction"] = {"parts": system + asked}
    out |= offered
    if config:
        out["generationConfig"] = config
    tier = str(body.get("service_tier", "auto"))
    if tier in _TIERS:
        out["serviceTier"] = _TIERS[tier]
    elif tier != "auto":
        leeway.note("service_tier")
    return out
