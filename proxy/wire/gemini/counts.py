"""Tokens as Gemini reports them.

Answers call `reported` for the house and `shown` for the caller. Gemini counts thoughts beside the
answer, and what a tool of its own put into the prompt beside the prompt; in the house both are part of it.
"""

from collections.abc import Mapping
from typing import Any

from proxy.usage import Usage
from proxy.wire import counts

_MODALITIES: Mapping[str, str] = {"AUDIO": "audio_tokens", "IMAGE": "image_tokens"}
"""Kinds of content that callers count apart."""


def reported(metadata: Any) -> Usage | None:
    """A `usageMetadata` as `Usage`; None if there is none that can be believed."""
    if not isinstance(metadata, dict):
        return None
    return counts.reported(
        {
            "prompt_tokens": _sum(metadata, "promptTokenCount", "toolUsePromptTokenCount"),
            "completion_tokens": _sum(metadata, "candidatesTokenCount", "thoughtsTokenCount"),
            "prompt_tokens_details": {"cached_tokens": metadata.get("cachedContentTokenCount")},
            "completion_tokens_details": {"reasoning_tokens": metadata.get("thoughtsTokenCount")},
        }
    )


def shown(usage: Usage, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`usage` as OpenAI writes it, with the tokens of sounds and pictures where Google tells them."""
    out = counts.shown(usage)
    out["prompt_tokens_details"] |= _by_modality(metadata.get("promptTokensDetails"))
    out["completion_tokens_details"] |= _by_modality(metadata.get("candidatesTokensDetails"))
    return out


def _by_modality(details: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in details if isinstance(details, list) else ():
        name = _MODALITIES.get(str(one.get("modality"))) if isinstance(one, dict) else None
        if name is not None and counts.count(one, "tokenCount") > 0:
            found[name] = one["tokenCount"]
    return found


def _sum(metadata: dict[str, Any], *names: str) -> int:
    """Together; -1, which nobody believes, if one of them cannot be."""
    values = [metadata[name] for name in names if metadata.get(name) is not None]
    sound = all(type(value) is int and value >= 0 for value in values)
    return sum(values) if sound else -1
