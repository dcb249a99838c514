"""Tokens as Gemini reports them.

Replies and readers call `reported`. Gemini counts thoughts beside the answer, and what a tool of its
own put into the prompt beside the prompt; in the house both are part of it.
"""

from typing import Any

from proxy.usage import Usage
from proxy.wire import counts


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


def _sum(metadata: dict[str, Any], *names: str) -> int:
    """Together; -1, which nobody believes, if one of them cannot be."""
    values = [metadata[name] for name in names if metadata.get(name) is not None]
    sound = all(type(value) is int and value >= 0 for value in values)
    return sum(values) if sound else -1
