"""One request being fitted to one OpenAI-shaped upstream.

`openai_request.py` makes a `Fit` for each attempt; the modules that fit members, tools and messages
ask it what the upstream can do, and its leeway what may be lost. Content of the conversation never is:
those modules raise `Unable` for it themselves. What follows from an upstream and its model alone, and from
no call, is its `Manners`: most calls hold nothing that it minds, and one look at their members tells.
"""

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from proxy.abilities import Capabilities, ModelFacts
from proxy.wire.leeway import Leeway

ALWAYS = frozenset({"model", "messages", "stream", "stream_options"})
"""Members that no allow-list needs to name."""
SAMPLING = ("temperature", "top_p", "top_k")
MAXIMA = ("max_completion_tokens", "max_tokens")
_TOOLS = frozenset({"tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"})
_PERSON = frozenset({"safety_identifier", "user"})
_THINKING = frozenset({"reasoning_effort", "thinking"})


class Manners(Struct, frozen=True):
    """What an upstream and its model want of every request."""

    minds: frozenset[str]
    """Members that it may want otherwise than by another name, or not at all. What fits a member of a request
    is asked only where one of these is among them."""
    passes: frozenset[str] | None
    """The only members that may go up as they are; None: all that it does not mind."""
    plain: bool
    """Whether it takes all that OpenAI takes in a message, in the same form."""
    maxima: tuple[str, ...]
    """Names that a maximum may have, the one it is given under first."""
    tells_usage: bool
    """Whether it can be asked for the count of a stream."""


@lru_cache(maxsize=256)
def manners_of(able: Capabilities, facts: ModelFacts) -> Manners:
    """Remembered, because a table has few and every call asks."""
    minds, passes = able.strip | able.refuse, able.accept
    if passes is not None:
        passes = passes | ALWAYS if able.person is None else passes | ALWAYS | {able.person}
    if (
        able.tools == "functions"
        or not able.forced_tools
        or facts.forced_tools is False
        or able.strip_inside
        or able.tool_parameters
        or not able.extra_message_members
    ):
        minds |= _TOOLS
    if able.person is not None:
        minds |= _PERSON
    if able.efforts or able.thinking_switch:
        minds |= _THINKING
    if facts.sampling is False:
        minds |= set(SAMPLING)
    if able.temperature_max is not None or able.lone_zero:
        minds |= {"temperature"}
    for old, new in able.rename:
        if new in minds or (passes is not None and new not in passes):
            minds |= {old}
        elif passes is not None:
            passes |= {old}  # for it goes up by its other name
    usual = dict(able.rename).get("max_completion_tokens", "max_completion_tokens")
    return Manners(
        minds,
        passes,
        plain=able.nulls
        and able.answer_members
        and able.extra_message_members
        and not able.flatten_content
        and able.tools == "any"
        and able.images == able.files == "any"
        and able.audio == "object",
        maxima=tuple(dict.fromkeys((usual, *MAXIMA))),
        tells_usage=able.usage_option and "stream_options" not in able.strip,
    )


class Fit(Struct, frozen=True):
    """What an upstream can do, and what the call may lose on the way to it."""

    able: Capabilities
    leeway: Leeway
    facts: ModelFacts
    recalled: Mapping[str, bytes]
    """Reasoning that was kept, by the id of a tool call in the history."""
    manners: Manners
