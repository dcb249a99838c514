"""One request being fitted to one OpenAI-shaped upstream, and what it loses on the way.

`openai_request.py` makes a `Fit` for each attempt; the modules that fit members, tools and messages
ask it what the upstream can do, and tell it what it cannot. Whether a loss is a refusal or a note is
decided here and nowhere else. Content of the conversation is never lost: those modules raise
`Unable` for it themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.table import Capabilities, ModelFacts
from proxy.wire.unable import Unable

_NOTHING_KNOWN = ModelFacts()
_SETS = frozenset({"refuse", "strip"})
_WITHOUT: tuple[tuple[str, tuple[str, Any]], ...] = (
    (
        "tools",
        ("refuse", frozenset({"function_call", "functions", "parallel_tool_calls", "tool_choice", "tools"})),
    ),
    ("logprobs", ("refuse", frozenset({"logprobs", "top_logprobs"}))),
    ("choices", ("refuse", frozenset({"n"}))),
    ("sampling", ("strip", frozenset({"temperature", "top_k", "top_p"}))),
    ("forced_tools", ("forced_tools", False)),
    ("schemas", ("schemas", False)),
    ("vision", ("images", "none")),
    ("audio", ("audio", "none")),
    ("files", ("files", "none")),
)
"""A fact about a model that is known to be false, and what it takes from the server's capabilities."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What an upstream can do, and whether the caller wants a loss refused or noted."""

    able: Capabilities
    lenient: bool
    """The route's `drop_params`."""
    recalled: Mapping[str, bytes]
    """Reasoning that was kept, by the id of a tool call in the history."""
    notes: list[str] = field(default_factory=list)
    """Members that were left out or changed, in order; may repeat."""

    def lose(self, place: str, reason: str) -> None:
        """The upstream cannot do what stands at `place`, which is not content."""
        if not self.lenient:
            raise Unable(place, reason)
        self.notes.append(place.partition("[")[0].partition(".")[0])

    def noted(self) -> tuple[str, ...]:
        """The notes, each once."""
        return tuple(dict.fromkeys(self.notes))


def unsupported(name: str) -> str:
    """The sentence that OpenAI itself has for it."""
    return f"Unsupported parameter: '{name}' is not supported with this model."


def narrowed(able: Capabilities, facts: ModelFacts) -> Capabilities:
    """What the server can do, less what is known that this model cannot."""
    if facts == _NOTHING_KNOWN:
        return able
    less = [change for fact, change in _WITHOUT if getattr(facts, fact) is False]
    if not less:
        return able
    changes: dict[str, Any] = {}
    for name, value in less:
        changes[name] = changes.get(name, getattr(able, name)) | value if name in _SETS else value
    return replace(able, **changes)
