"""One request being fitted to one OpenAI-shaped upstream.

`openai_request.py` makes a `Fit` for each attempt; the modules that fit members, tools and messages
ask it what the upstream can do, and its leeway what may be lost. Content of the conversation never is:
those modules raise `Unable` for it themselves.
"""

from collections.abc import Mapping

from msgspec import Struct

from proxy.abilities import Capabilities, ModelFacts
from proxy.wire.leeway import Leeway


class Fit(Struct, frozen=True):
    """What an upstream can do, and what the call may lose on the way to it."""

    able: Capabilities
    leeway: Leeway
    facts: ModelFacts
    recalled: Mapping[str, bytes]
    """Reasoning that was kept, by the id of a tool call in the history."""
