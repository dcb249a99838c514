"""What a call needs of a model, and what a target certainly lacks of it.

`needs_of` says it once for each call; `selection.py` asks of each target what it
`lacks`, so that nobody is sent what it can only refuse, and `explain` gives the same reasons. Only
what is known counts (`table.ModelFacts`): a target of which nothing is known lacks nothing. What no
fact speaks of (custom tools, spoken answers, `json_object`) is left to the dialects, which refuse
by themselves what their wire cannot say. Never a word of the prompt goes into a reason.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from proxy.abilities import ModelFacts
from proxy.call import Call
from proxy.policy.prompt import Prompt

CHARACTERS_PER_TOKEN = 8
"""So many make at least one token: prose has three to five to a token, code up to six, and only a text that
is mostly long runs of one character has more than this. What is shorter may still be refused upstream."""


class Ability(StrEnum):
    """What a call may need; each is a field of `ModelFacts`."""

    TOOLS = "tools"
    FORCED_TOOLS = "forced_tools"
    SCHEMAS = "schemas"
    SCHEMAS_WITH_TOOLS = "schemas_with_tools"
    LOGPROBS = "logprobs"
    CHOICES = "choices"
    THINKING = "thinking"
    VISION = "vision"
    AUDIO = "audio"
    FILES = "files"
    PREFILL = "prefill"
    CONTEXT = "context"


REASONS: Mapping[Ability, str] = {
    Ability.TOOLS: "calls no tools",
    Ability.FORCED_TOOLS: "cannot be made to call a tool",
    Ability.SCHEMAS: "cannot be held to a JSON schema",
    Ability.SCHEMAS_WITH_TOOLS: "cannot be held to a JSON schema while tools are offered",
    Ability.LOGPROBS: "gives no log probabilities",
    Ability.CHOICES: "gives one answer at a time",
    Ability.THINKING: "does not reason",
    Ability.VISION: "sees no pictures",
    Ability.AUDIO: "hears no sound",
    Ability.FILES: "reads no documents",
    Ability.PREFILL: "does not continue a last assistant message",
    Ability.CONTEXT: "has too small a context for the prompt",
}
"""Of a target that lacks it, for the caller and for `explain`."""

_ASKING = frozenset(
    {"tools", "functions", "response_format", "logprobs", "top_logprobs", "n", "reasoning_effort"}
)
"""Members that may need an ability; a call without any of them is looked at no further."""
_PARTS: Mapping[str, Ability] = {
    "image_url": Ability.VISION,
    "input_audio": Ability.AUDIO,
    "file": Ability.FILES,
}
"""The member of a content part that carries what is no text."""


class Need(Struct, frozen=True):
    """One thing that a model must be able to do, and where the caller asked for it."""

    ability: Ability
    param: str
    """A member, or a place such as `messages[3].content[1]`."""


class Needs(Struct, frozen=True):
    """All that a call needs."""

    abilities: tuple[Need, ...] = ()
    tokens: int = 0
    """Lower bound of the prompt's tokens: its text alone; pictures, sound, files and tools only add to it."""


class Lack(Struct, frozen=True):
    """One thing that a target certainly cannot do."""

    ability: Ability
    param: str

    @property
    def reason(self) -> str:
        """A few words about the target."""
        return REASONS[self.ability]


def needs_of(call: Call, prompt: Prompt) -> Needs:
    """What `call`, completed by its route, needs of whoever answers it."""
    body = call.body
    asked = () if _ASKING.isdisjoint(body) else tuple(_asked(body))
    parts: dict[Ability, Need] = {}
    characters = prompt.characters
    for place, message in prompt.others:
        content = message.get("content")
        if isinstance(content, list):
            characters += _parts(content, place, parts)
    if body["messages"][-1]["role"] == "assistant":
        parts[Ability.PREFILL] = Need(Ability.PREFILL, f"messages[{prompt.messages - 1}]")
    return Needs((*asked, *parts.values()), characters // CHARACTERS_PER_TOKEN)


def lacks(needs: Needs, facts: ModelFacts) -> tuple[Lack, ...]:
    """What a model of these facts certainly cannot do for the call, in the order of `needs`."""
    found: tuple[Lack, ...] = ()
    for need in needs.abilities:
        if cannot(facts, need.ability):
            found += (Lack(need.ability, need.param),)
    if facts.context is not None and needs.tokens > facts.context:
        found += (Lack(Ability.CONTEXT, "messages"),)
    return found


def cannot(facts: ModelFacts, ability: Ability) -> bool:
    """Whether a model certainly cannot do it: `False`, or no way at all of doing it; `None` is unknown."""
    known = getattr(facts, ability)
    return known is not None and not known


def _asked(body: Mapping[str, Any]) -> Iterator[Need]:
    """What the members beside the messages need."""
    tools, choice = ("tools", "tool_choice") if body.get("tools") else ("functions", "function_call")
    offered = bool(body.get(tools))
    if offered:
        yield Need(Ability.TOOLS, tools)
        if forces(body.get(choice)):
            yield Need(Ability.FORCED_TOOLS, choice)
    if has_schema(body):
        yield Need(Ability.SCHEMAS, "response_format")
        if offered:
            yield Need(Ability.SCHEMAS_WITH_TOOLS, "response_format")
    odds = next((name for name in ("logprobs", "top_logprobs") if body.get(name)), None)
    if odds is not None:
        yield Need(Ability.LOGPROBS, odds)
    if body.get("n") not in (None, 1):
        yield Need(Ability.CHOICES, "n")
    if body.get("reasoning_effort") not in (None, "none"):
        yield Need(Ability.THINKING, "reasoning_effort")


def has_schema(body: Mapping[str, Any]) -> bool:
    """Whether the answer shall follow a JSON schema."""
    wanted = body.get("response_format")
    return isinstance(wanted, Mapping) and wanted.get("type") == "json_schema"


def forces(choice: Any) -> bool:
    """Whether a `tool_choice` or `function_call` leaves the model no way around calling one."""
    if not isinstance(choice, Mapping):
        return choice in ("required", "any")
    allowed = choice.get("allowed_tools")
    return allowed.get("mode") == "required" if isinstance(allowed, Mapping) else True


def _parts(content: list[Any], place: int, found: dict[Ability, Need]) -> int:
    """Note the first part of each kind that is no text; the characters of those that are."""
    characters = 0
    for at, part in enumerate(content):
        if not isinstance(part, Mapping):
            continue
        text = part.get("text")
        if isinstance(text, str):
            characters += len(text)
        for name, ability in _PARTS.items():
            if part.get(name) is not None and ability not in found:
                found[ability] = Need(ability, f"messages[{place}].content[{at}]")
    return characters
