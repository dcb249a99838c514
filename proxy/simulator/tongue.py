"""How one vendor is spoken: what a simulated upstream needs to know of a wire language.

`chat.py`, `messages.py` and `generate.py` each fill it in; `server.py` plays any of them by the same script.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from msgspec import Struct

from proxy.simulator.answers import Said
from proxy.simulator.manners import Refusal

JsonObject = dict[str, Any]


class Answer(Protocol):
    """One answer in a vendor's members."""

    done: bytes
    """What ends a stream, kept apart because a script may leave it out."""

    def whole(self) -> bytes:
        """The body of an answer that is not streamed."""
        ...

    def events(self) -> Iterator[bytes]:
        """The events of a stream, `done` left out."""
        ...


class Tongue(Struct, frozen=True):
    """One wire language."""

    judge: Callable[[Any], Refusal | None]
    """Why the vendor would refuse a body, or None."""
    shape: Callable[[Refusal], JsonObject]
    """The body of a refusal as the vendor sends it."""
    errors: Mapping[str, Refusal]
    """What a script can ask for by name."""
    of_status: Callable[[int], Refusal]
    """A plain error for a bare status."""
    error_event: Callable[[], bytes]
    """An error within a stream, with whatever the vendor sends after it."""
    as_chat: Callable[[JsonObject], JsonObject]
    """What decides the answer, in OpenAI's members."""
    answer: Callable[[str, JsonObject, Said], Answer]
    """An answer, from what names it, the body and what is said."""
    early: bool = False
    """The head of a stream goes out before there is anything to say."""
