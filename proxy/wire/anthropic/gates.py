"""What each Claude accepts, as data: the gates a request must pass before it is built.

`request.py` looks the target's model up here. A model is known by family and version wherever they
stand in its name (`claude-opus-4-5-20251101`, `anthropic/claude-opus-4-5`); one nobody has described
is taken for the newest generation, which accepts least. The table is a belief about somebody else's
server, kept here because it is meaningless to any other dialect; it decides nothing by itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

_NAME = re.compile(r"(opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_OLD_NAME = re.compile(r"claude-(?:instant|[1-3])(?:[-.]([57]))?(?!\d)")


@dataclass(frozen=True, slots=True)
class Gates:
    """What one model takes. The defaults are those of a model nobody has described."""

    sampling: bool = False
    """Takes `temperature`, `top_p` and `top_k`, as long as it does not think."""
    thinking: frozenset[str] = frozenset({"adaptive"})
    """Values of `thinking.type` it accepts."""
    efforts: tuple[str, ...] = ("low", "medium", "high")
    """Values of `output_config.effort`, rising; none where effort is said by a budget of tokens."""
    forced_choice: bool = False
    """Can be made to call a tool."""
    prefill: bool = False
    """Continues a last assistant message."""
    inline_system: bool = False
    """Takes a system message in the middle of a conversation."""
    schemas: bool = True
    """Constrains its answer to a JSON schema (`output_config.format`)."""
    max_tokens: int = 32_000
    """Sent where neither the caller nor a limit names a maximum: the wire demands one."""


_ALL = ("low", "medium", "high", "xhigh", "max")
_SWITCH = frozenset({"adaptive", "disabled"})

_CLAUDE_3 = Gates(
    sampling=True,
    thinking=frozenset(),
    efforts=(),
    forced_choice=True,
    prefill=True,
    schemas=False,
    max_tokens=4_096,
)
_BUDGETED = replace(_CLAUDE_3, thinking=frozenset({"enabled", "disabled"}), max_tokens=32_000)
_BUDGETED_WITH_SCHEMAS = replace(_BUDGETED, schemas=True)
_OPUS_4_6 = Gates(
    sampling=True,
    thinking=frozenset({"adaptive", "enabled", "disabled"}),
    efforts=("low", "medium", "high", "max"),
    forced_choice=True,
)
_OPUS_4_7 = Gates(thinking=_SWITCH, efforts=_ALL, forced_choice=True)
_OPUS_4_8 = replace(_OPUS_4_7, inline_system=True)
_FABLE_5 = Gates(efforts=_ALL, forced_choice=True, inline_system=True)
_FABLE_5_1 = Gates(efforts=_ALL)
NEWEST = Gates()

_KNOWN: Mapping[str, Gates] = {
    "3": _CLAUDE_3,
    "3-5": replace(_CLAUDE_3, max_tokens=8_192),
    "3-7": _BUDGETED,
    "opus-4": _BUDGETED,
    "sonnet-4": _BUDGETED,
    "opus-4-0": _BUDGETED,
    "sonnet-4-0": _BUDGETED,
    "opus-4-1": _BUDGETED,
    "sonnet-4-5": _BUDGETED_WITH_SCHEMAS,
    "haiku-4-5": _BUDGETED_WITH_SCHEMAS,
    "opus-4-5": _BUDGETED_WITH_SCHEMAS,
    "opus-4-6": _OPUS_4_6,
    "sonnet-4-6": _OPUS_4_6,
    "opus-4-7": _OPUS_4_7,
    "opus-4-8": _OPUS_4_8,
    "sonnet-5": _OPUS_4_7,
    "opus-5": _OPUS_4_8,
    "fable-5": _FABLE_5,
    "mythos-5": _FABLE_5,
    "fable-5-1": _FABLE_5_1,
    "mythos-5-1": _FABLE_5_1,
    "opus-5-5": _FABLE_5_1,
    "sonnet-5-5": Gates(thinking=frozenset({"adaptive", "between_tools"}), efforts=_ALL),
    "haiku-5-5": replace(NEWEST, thinking=_SWITCH),
}
"""By family and version; Claude 3 and before put the version first and had fewer families."""


def gates_for(model: str) -> Gates:
    """The gates of a model, by its name at the upstream."""
    name = model.lower()
    known = _NAME.search(name)
    if known is not None:
        family, major, minor = known.groups()
        return _KNOWN.get(f"{family}-{major}" if minor is None else f"{family}-{major}-{minor}", NEWEST)
    old = _OLD_NAME.search(name)
    if old is not None:
        return _KNOWN[f"3-{old[1]}" if old[1] else "3"]
    return NEWEST
