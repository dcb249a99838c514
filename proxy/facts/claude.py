"""What each Claude takes, as data: the gates that a request must pass before it is built.

`models.py` looks a model up here for the `anthropic` dialect. It is known by family and version wherever
they stand in its name (`claude-opus-4-5-20251101`, `anthropic/claude-opus-4-5`); one nobody has described
is taken for the newest generation, which accepts least. The ways of `thinking` are the wire's own values
of `thinking.type`. All of it is a belief about somebody else's server: the table's `models` corrects it.
"""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from proxy.abilities import ModelFacts

_NAME = re.compile(r"(opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_OLD_NAME = re.compile(r"claude-(?:instant|[1-3])(?:[-.]([57]))?(?!\d)")

_ALL = ("low", "medium", "high", "xhigh", "max")
_SWITCH = frozenset({"adaptive", "disabled"})

NEWEST = ModelFacts(
    tools=True,
    forced_tools=False,
    audio=False,
    schemas=True,
    schemas_with_tools=True,
    logprobs=False,
    choices=False,
    prefill=False,
    sampling=False,
    thinking=frozenset({"adaptive"}),
    thinks=True,
    efforts=("low", "medium", "high"),
    inline_system=False,
)
"""A model nobody has described."""
_CLAUDE_3 = replace(
    NEWEST,
    output=4_096,
    forced_tools=True,
    schemas_with_tools=False,
    prefill=True,
    sampling=True,
    thinking=frozenset(),
    thinks=False,
    efforts=(),
)
_BUDGETED = replace(_CLAUDE_3, output=None, thinking=frozenset({"enabled", "disabled"}))
_BUDGETED_WITH_SCHEMAS = replace(_BUDGETED, schemas_with_tools=True)
_OPUS_4_6 = replace(
    NEWEST,
    forced_tools=True,
    sampling=True,
    thinking=frozenset({"adaptive", "enabled", "disabled"}),
    thinks=False,
    efforts=("low", "medium", "high", "max"),
)
_OPUS_4_7 = replace(NEWEST, thinking=_SWITCH, thinks=False, efforts=_ALL, forced_tools=True)
_OPUS_4_8 = replace(_OPUS_4_7, inline_system=True)
_SONNET_5 = replace(_OPUS_4_7, thinks=True)
_FABLE_5 = replace(NEWEST, efforts=_ALL, forced_tools=True, inline_system=True)
_FABLE_5_1 = replace(NEWEST, efforts=_ALL)

KNOWN: Mapping[str, ModelFacts] = {
    "3": _CLAUDE_3,
    "3-5": replace(_CLAUDE_3, output=8_192),
    "3-7": _BUDGETED,
    "opus-4": _BUDGETED,
    "sonnet-4": _BUDGETED,
    "opus-4-0": _BUDGETED,
    "sonnet-4-0": _BUDGETED,
    "opus-4-1": _BUDGETED,
    "sonnet-4-5": _BUDGETED_WITH_SCHEMAS,
    "haiku-4-5": _BUDGETED_WITH_SCHEMAS,
    "opus-4-5": replace(_BUDGETED_WITH_SCHEMAS, efforts=("low", "medium", "high")),
    "opus-4-6": _OPUS_4_6,
    "sonnet-4-6": _OPUS_4_6,
    "opus-4-7": _OPUS_4_7,
    "opus-4-8": _OPUS_4_8,
    "sonnet-5": _SONNET_5,
    "opus-5": replace(_OPUS_4_8, thinks=True),
    "fable-5": _FABLE_5,
    "mythos-5": _FABLE_5,
    "fable-5-1": _FABLE_5_1,
    "mythos-5-1": _FABLE_5_1,
    "opus-5-5": _FABLE_5_1,
    "sonnet-5-5": replace(NEWEST, thinking=frozenset({"adaptive", "between_tools"}), efforts=_ALL),
    # Not among what its migration guide takes away, as it does elsewhere: to be made to call a tool.
    "haiku-5-5": replace(NEWEST, thinking=_SWITCH, efforts=_ALL, forced_tools=True),
}
"""By family and version; Claude 3 and before put the version first and had fewer families."""


def describe(model: str) -> ModelFacts:
    """The facts of a model, by its name at the upstream."""
    name = model.lower()
    known = _NAME.search(name)
    if known is not None:
        family, major, minor = known.groups()
        return KNOWN.get(f"{family}-{major}" if minor is None else f"{family}-{major}-{minor}", NEWEST)
    old = _OLD_NAME.search(name)
    if old is not None:
        return KNOWN[f"3-{old[1]}" if old[1] else "3"]
    return NEWEST
