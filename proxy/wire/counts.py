"""Tokens as OpenAI-shaped upstreams report them, and the estimate where they do not.

Replies and readers call this. A report is believed only if it is possible: what it says goes into
a ledger that never credits, so a negative, fractional, vast or empty count is worth nothing. Nor is
one of fewer tokens than what was seen can be made of, or one that came before the end (`weighed`).
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from proxy.usage import BYTES_PER_TOKEN, Source, Usage

BYTES_MOST = 128
"""In one token. The longest that tokenizers have are runs of so many spaces."""
MOST = 1_000_000_000
"""More tokens than any one answer can have."""
_PARTS = frozenset(
    {
        "prompt_tokens_details",
        "completion_tokens_details",
        "prompt_cache_hit_tokens",
        "num_cached_tokens",
    }
)
"""Members of a report that say more than how many tokens there were."""


class Tally(Struct):
    """Content seen so far, over all choices of an answer."""

    output_bytes: int = 0
    """Of what the caller can see."""
    pieces: int = 0
    waiting: int = 0
    """Bytes of names that wait for the rest of their calls: they cost, though nobody sees them yet."""


def reported(usage: Any) -> Usage | None:
    """The upstream's own count, or None if there is none that can be believed."""
    if type(usage) is not dict:
        return None
    prompt = count(usage, "prompt_tokens")
    output = count(usage, "completion_tokens")
    total = count(usage, "total_tokens")
    cached = written = reasoning = 0
    if not _PARTS.isdisjoint(usage):
        of_prompt, of_output = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
        if type(of_prompt) is dict and "cached_tokens" in of_prompt:
            cached = count(of_prompt, "cached_tokens")
        else:
            cached = max(count(usage, "prompt_cache_hit_tokens"), count(usage, "num_cached_tokens"))
        if type(of_prompt) is dict and "cache_write_tokens" in of_prompt:
            written = count(of_prompt, "cache_write_tokens")
        if type(of_output) is dict:
            reasoning = count(of_output, "reasoning_tokens")
    if prompt <= 0 or output < 0 or total < 0 or cached < 0 or written < 0 or reasoning < 0:
        return None
    if reasoning and total == prompt + output + reasoning:
        output += reasoning  # some count reasoning beside the answer; here it is part of it
    if cached or written or reasoning:
        cached = min(cached, prompt)
        written, reasoning = min(written, prompt - cached), min(reasoning, output)
    return Usage(prompt, output, cached, written, reasoning, Source.REPORTED)


def shown(usage: Usage) -> dict[str, Any]:
    """A count as OpenAI would write it; the opposite of `reported`."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def estimated(prompt_bytes: int, output_bytes: int, pieces: int) -> Usage:
    """From sizes: four bytes to a token, and no fewer output tokens than pieces that were seen.

    Streams mostly carry one token a piece, which corrects the bytes where a script needs more
    tokens than bytes suggest.
    """
    output = max(_tokens(output_bytes), pieces)
    return Usage(_tokens(prompt_bytes), output, source=Source.OBSERVED if output else Source.ESTIMATED)


def fewest(output_bytes: int, pieces: int | None = None) -> int:
    """The fewest tokens that so much content can be, whatever the tokenizer; of no content, none.

    A piece of a stream may be a picture or a sound, which are more bytes than their tokens would suggest:
    each is one token at least, and no more is said of it.
    """
    if not output_bytes:
        return 0
    tokens = output_bytes // BYTES_MOST
    return max(1, tokens if pieces is None else min(tokens, pieces))


def weighed(report: Usage | None, seen: Usage, least: int, *, whole: bool = True) -> Usage:
    """What an answer has come to: the upstream's own count if it can be one of all that was `seen`.

    `least`: of how few tokens that can be (`fewest`); `whole`: nothing was seen after the count was given.
    """
    if report is None or (whole and report.output >= least):
        return report or seen
    return replace(report, output=max(report.output, seen.output), source=Source.OBSERVED)


def size(text: str) -> int:
    """Bytes of `text` in UTF-8, whatever is in it."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _tokens(size_in_bytes: int) -> int:
    return -(-size_in_bytes // BYTES_PER_TOKEN)


def count(parent: dict[str, Any], name: str) -> int:
    """One count of a report; absent and null are 0, the impossible is -1."""
    value = parent.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MOST:
        return -1
    return value
