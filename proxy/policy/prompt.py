"""The messages of a call, looked through once.

`judgement.py` has one made for each call; `fit.py` reads from it what the messages need of a model,
`estimate.py` what they come to. Most messages are a role and a text, of which only the length matters;
those with more to them are kept aside. No text is kept or copied.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Prompt(Struct, frozen=True):
    """What the messages hold."""

    messages: int
    characters: int
    """Of the messages whose content is a text."""
    others: tuple[tuple[int, Mapping[str, Any]], ...]
    """Messages with more to them than a role and a text, and where they stand."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Prompt":
        """The messages of a parsed call."""
        messages = body.get("messages")
        if not isinstance(messages, list):
            return cls(0, 0, ())
        characters = 0
        others: list[tuple[int, Mapping[str, Any]]] = []
        for place, message in enumerate(messages):
            if not isinstance(message, dict):
                continue
            content = message.get("content")
            if isinstance(content, str):
                characters += len(content)
                if len(message) == _PLAIN:
                    continue
            others.append((place, message))
        return cls(len(messages), characters, tuple(others))

    def __repr__(self) -> str:
        """Nothing of what is said, wherever it may be shown."""
        return f"Prompt({self.messages} messages)"


_PLAIN = 2
"""Members of a message that has a role and a content, and nothing else."""
