"""Tokens as Messages report them, in OpenAI's way of counting.

Replies and readers call `reported`. Here `input_tokens` leaves out what the cache served or took,
and OpenAI's `prompt_tokens` does not: money is wrong unless all three are added.
"""

from typing import Any

from proxy.usage import Usage
from proxy.wire import counts

_COUNTERS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def reported(usage: Any) -> Usage | None:
    """The upstream's own count, or None if there is none that can be believed."""
    if not isinstance(usage, dict):
        return None
    plain, written, read, output = (_passes(usage, name) for name in _COUNTERS)
    details = usage.get("output_tokens_details")
    reasoning = counts.count(details, "thinking_tokens") if isinstance(details, dict) else 0
    if min(plain, written, read, output, reasoning) < 0:
        return None
    prompt = plain + written + read
    return counts.reported(
        {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
    )


def _passes(usage: dict[str, Any], name: str) -> int:
    """A counter, with the passes of compaction, which the upstream bills but leaves out of the total."""
    iterations = usage.get("iterations")
    kinds = (
        [item.get("type") for item in iterations if isinstance(item, dict)]
        if isinstance(iterations, list)
        else []
    )
    if "compaction" not in kinds or "fallback_message" in kinds:
        return counts.count(usage, name)
    passes = [item for item in iterations if isinstance(item, dict)] if isinstance(iterations, list) else []
    each = [counts.count(item, name) for item in passes if item.get("type") in {"message", "compaction"}]
    return sum(each) if min(each) >= 0 else -1
