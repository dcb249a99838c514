"""What a call may lose on its way to Gemini: the one place that decides whether to refuse or leave out.

`request.py` opens a `Leeway` for each call, and the translators ask it whenever Gemini, or the model,
cannot say a thing. A strict route refuses, so that another target is tried; a lenient one
(`Call.drop_params`) goes on without it, and the caller is told its name. So what the one refuses is
exactly what the other leaves out. Content never comes here: a picture, a sound or a text that cannot
be said raises `Unable` whatever the route allows, and so does what is simply wrong.
"""

from collections.abc import Mapping

from proxy.table import ModelFacts
from proxy.wire.unable import Unable

SAFEGUARDS = frozenset({"moderation"})
"""Members that are never left out: who asked for protection must get it, or no answer."""
NEEDS: Mapping[str, str] = {
    "functions": "tools",
    "logprobs": "logprobs",
    "n": "choices",
    "tools": "tools",
    "top_logprobs": "logprobs",
}
"""The fact about a model that a member needs. What nobody knows (None) is tried ..."""
UNTRIED = frozenset({"choices"})
"""... but for these, which most models refuse: they must be known to be so."""


class Leeway:
    """What one call has lost so far, and whether it may lose more."""

    __slots__ = ("_lenient", "_lost")

    def __init__(self, *, lenient: bool) -> None:
        self._lenient = lenient
        self._lost: dict[str, None] = {}

    @property
    def lost(self) -> tuple[str, ...]:
        """The members that the caller must be told of, each once."""
        return tuple(self._lost)

    def note(self, member: str) -> None:
        """`member` is left out or weakened, which any route allows."""
        self._lost[member] = None

    def lose(self, member: str, place: str, reason: str, code: str = "unsupported_parameter") -> None:
        """`member` cannot be said as it stands at `place`: note it if the route allows, else refuse."""
        if not self._lenient or member in SAFEGUARDS:
            raise Unable(place, reason, code)
        self.note(member)

    def lose_member(self, member: str) -> None:
        """The same for a member as a whole."""
        self.lose(member, member, f"Unsupported parameter: '{member}' is not supported with this model.")


def beyond(facts: ModelFacts) -> frozenset[str]:
    """The members that the model is known not to serve, or not known to."""
    able = {fact: getattr(facts, fact) for fact in NEEDS.values()}
    unable = {fact for fact, known in able.items() if known is False or (known is None and fact in UNTRIED)}
    return frozenset(member for member, fact in NEEDS.items() if fact in unable)
