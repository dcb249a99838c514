"""The request for Gemini, made from the parsed call.

The dialect calls `build`. Every member that a caller may send has its fate here: translated, left
out as a hint, left out with a note, or refused so that another upstream is tried.
"""

import re
from collections.abc import Mapping
from typing import Any

from proxy.call import Call, Signal, UpstreamRequest
from proxy.table import Capabilities, Target, Upstream
from proxy.wire.gemini.contents import translate as contents
from proxy.wire.gemini.generation import configure
from proxy.wire.gemini.tools import translate as tools
from proxy.wire.headers import outgoing
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
REFUSED = frozenset({"audio", "logit_bias", "modalities", "moderation", "n", "web_search_options"})
"""Without these the answer would be another one."""

_TIERS: Mapping[str, str] = {
    "default": "standard",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
}
_MODEL = re.compile(r"(?:(?:models|tunedModels)/)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
"""Names that can stand in a path without leading anywhere else."""


def build(call: Call, target: Target, upstream: Upstream) -> UpstreamRequest | Signal:
    """The request, or a `Signal` that Gemini cannot express the call."""
    degraded: list[str] = []
    try:
        path = _path(target.model, stream=call.stream)
        body = _kept(call.body, upstream.capabilities, degraded)
        data = dumps(_body(call, body, target, degraded))
    except Unable as unable:
        return unable.signal()
    return UpstreamRequest(path, outgoing(call, upstream, _key(upstream)), data, tuple(degraded))


def _path(model: str, *, stream: bool) -> str:
    if _MODEL.fullmatch(model) is None:
        raise Unable("model", "The model's name cannot stand in a path.", "model_not_found")
    name = model if "/" in model else f"models/{model}"
    return f"/{name}:streamGenerateContent?alt=sse" if stream else f"/{name}:generateContent"


def _key(upstream: Upstream) -> tuple[tuple[str, str], ...]:
    """The credential in a header: in the URL it would end in logs."""
    return () if upstream.api_key is None else (("x-goog-api-key", upstream.api_key.reveal()),)


def _kept(given: Mapping[str, Any], able: Capabilities, degraded: list[str]) -> dict[str, Any]:
    """What will be translated, without nulls."""
    body: dict[str, Any] = {}
    refused, translated = REFUSED | able.refuse, TRANSLATED - able.strip
    for name, value in given.items():
        used = is_used(name, value)
        if name in refused:
            if used:
                raise Unable(name, f"Unsupported parameter: '{name}' is not supported with this model.")
        elif name in translated:
            if value is not None:
                body[name] = value
        elif used and name not in HINTS:
            degraded.append(name)
    return body


def _body(call: Call, body: dict[str, Any], target: Target, degraded: list[str]) -> dict[str, Any]:
    settle_legacy(body)
    system, turns = contents(body["messages"], signed=target.facts.signed_calls is True)
    out: dict[str, Any] = {"contents": turns}
    if system:
        out["systemInstruction"] = {"parts": system}
    out |= tools(body)
    config = configure(body, target.facts, call.output_cap, degraded)
    if config:
        out["generationConfig"] = config
    tier = str(body.get("service_tier", "auto"))
    if tier in _TIERS:
        out["serviceTier"] = _TIERS[tier]
    elif tier != "auto":
        degraded.append("service_tier")
    return out
