"""Refuse what a wire cannot say, or leave it out and say so: the one place that decides, for every dialect.

A request in the making has one `Leeway`. Wherever an upstream, or its model, has no word for something
that a call can do without, the translators ask it. A strict route refuses, so that the next target is
tried; a lenient one (`Call.drop_params`) goes on with the next best thing, and the caller is told what
it was. So what the one refuses is exactly what the other leaves out. Content never comes here:
a picture, a sound or a text that cannot be said raises `Unable` whatever the route allows, and so does
what is simply wrong.
"""

import re

from msgspec import Struct

from proxy.wire.unable import Unable

_NUMBER = re.compile(r"\[\d+\]")
"""Of a place in a list: the caller is told what was lost, but not each time that it was."""

SAFEGUARDS = frozenset({"moderation"})
"""Members that are never left out: who asked for protection must get it, or no answer."""


class Leeway(Struct):
    """What one request has lost so far, and whether it may lose more."""

    lenient: bool
    _lost: dict[str, None] | None = None
    """As keys: callers make up members by the ten thousand. None: nothing, as of most calls."""

    @property
    def lost(self) -> tuple[str, ...]:
        """What the caller must be told of, each once, in the order in which they came up."""
        return tuple(self._lost or ())

    def note(self, member: str) -> None:
        """`member`, or something within one, is left out or weakened, which any route allows."""
        if self._lost is None:
            self._lost = {}
        self._lost[member] = None

    def without(self, reason: Unable) -> None:
        """Go on without what `reason` names, if the route allows, else raise it."""
        if not self.lenient or reason.param in SAFEGUARDS:
            raise reason
        self.note(_NUMBER.sub("", reason.param))

    def lose(self, place: str, reason: str, code: str = "unsupported_parameter") -> None:
        """The same for what stands at `place`: a member, or something within one."""
        self.without(Unable(place, reason, code))

    def lose_member(self, member: str) -> None:
        """The same for a member as a whole, in OpenAI's own words for it."""
        self.lose(member, f"Unsupported parameter: '{member}' is not supported with this model.")
