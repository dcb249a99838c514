"""Refuse what the wire cannot say, or leave it out and say so: the one place that decides.

A request in the making has one `Leeway`. Wherever the wire or the model has no word for something,
the reason is handed to `without`: strictly it is raised, so that the next target is tried; where the
route says `drop_params` it is noted, and whoever asked goes on with the next best thing. What no
leeway covers is raised on the spot by whoever finds it, in both modes: content, a request for
safety, and plain mistakes.
"""

import re

from proxy.wire.unable import Unable

_PLACE = re.compile(r"\[\d+\]")


class Leeway:
    """What may be left out of one request, and what has been."""

    def __init__(self, *, drops: bool) -> None:
        self._drops = drops
        self._noted: dict[str, None] = {}

    @property
    def noted(self) -> tuple[str, ...]:
        """Members that were left out or changed, each once, in the order in which that came up."""
        return tuple(self._noted)

    def note(self, member: str) -> None:
        """Something that is never refused could not be heeded, and the caller should know."""
        self._noted[member] = None

    def without(self, reason: Unable) -> None:
        """Go on without what `reason` names, or raise it."""
        if not self._drops:
            raise reason
        self.note(_PLACE.sub("", reason.param))
