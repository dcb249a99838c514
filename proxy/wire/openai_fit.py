"""One request being fitted to one OpenAI-shaped upstream, and what it loses on the way.

`openai_request.py` makes a `Fit` for each attempt; the modules that fit members, tools and messages
ask it what the upstream can do, and tell it what it cannot. Whether a loss is a refusal or a note is
decided here and nowhere else. Content of the conversation is never lost: those modules raise
`Unable` for it themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.table import Capabilities
from proxy.wire.unable import Unable


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
