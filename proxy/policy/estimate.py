"""The most that a call can use, known before anything is sent.

`relay.py` asks once for each call. The estimate is an upper bound, never a guess, and the same
wherever the call is answered: no tokenizer is asked, no vendor's manners are assumed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.call import Call
from proxy.table import Route

BASE_TOKENS = 32
"""What a chat template adds around the whole prompt."""
MESSAGE_TOKENS = 16
"""What it adds around one message or tool."""
IMAGE_TOKENS = 50_000
"""The most that one image is counted as by a known model (gpt-4o-mini at high detail: 48 169)."""
_BYTES = frozenset({"type", "text", "refusal", "input_audio"})
"""Members of a content part that is no image."""
TOKENS_MAX = 10**12
"""No limit is anywhere near; it keeps absurd requests inside a ledger's 64-bit integers."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Upper bounds on what a call can use."""

    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        """What token limits hold."""
        return self.input_tokens + self.output_tokens


def estimate(call: Call, route: Route) -> Estimate:
    """The most tokens that `call` can use on `route`, wherever it is answered.

    No tokenizer makes more tokens than bytes; what the bytes do not show (templates, images, tools
    printed anew) is added.
    """
    defaults = route.defaults
    added = len(repr(dict(defaults)).encode()) if defaults else 0
    around = BASE_TOKENS + sum(_message_tokens(message) for message in _list(call.body.get("messages")))
    prompt = call.prompt_bytes + added + around + _tool_tokens(call.body)
    output = _choices(call.body, defaults) * _cap(call.body, route)
    return Estimate(prompt, min(output, TOKENS_MAX))


def _message_tokens(message: Any) -> int:
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return MESSAGE_TOKENS
    images = sum(1 for part in content if _may_be_image(part))
    return MESSAGE_TOKENS * (1 + len(content)) + IMAGE_TOKENS * images


def _may_be_image(part: Any) -> bool:
    """Some upstreams need no `type`, or have more of them; text and sound cost no more than their bytes."""
    return isinstance(part, Mapping) and not _BYTES.issuperset(part)


def _tool_tokens(body: Mapping[str, Any]) -> int:
    """Templates print tools anew, indented: more tokens than the caller's compact bytes."""
    tools = _list(body.get("tools")) + _list(body.get("functions"))
    return len(repr(tools).encode()) + MESSAGE_TOKENS * len(tools) if tools else 0


def _choices(body: Mapping[str, Any], defaults: Mapping[str, Any]) -> int:
    return _count(body.get("n", defaults.get("n"))) or 1


def _cap(body: Mapping[str, Any], route: Route) -> int:
    """The larger one if both spellings are given: which of them is sent depends on the upstream."""
    for members in (body, route.defaults):
        named = max(_count(members.get(name)) for name in ("max_completion_tokens", "max_tokens"))
        if named:
            return named
    return route.max_output_tokens


def _count(value: Any) -> int:
    """A number as lenient upstreams read it: `1e5` and `"100_000"` pass for integers there."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        number = value if isinstance(value, int) else math.ceil(float(value))
    except (ValueError, OverflowError):
        return 0
    return max(0, number)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
