"""Names of functions, in the letters that Gemini takes.

OpenAI lets a name begin with a digit or a dash, Gemini does not. The new name depends on nothing
but the old one, so that it is the same in every turn, and `Names` finds the way back by the tools
that the call declares.
"""

import hashlib
import re
from collections.abc import Iterable

_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}", re.ASCII)
_FOREIGN = re.compile(r"[^A-Za-z0-9_]", re.ASCII)
_KEPT = 48


def legal(name: str) -> str:
    """`name` itself if Gemini takes it, else one that stands for it."""
    if _LEGAL.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()
    return f"_{_FOREIGN.sub('_', name)[:_KEPT]}_{digest[:8]}"


class Names:
    """The functions that a call declares."""

    __slots__ = ("_back",)

    def __init__(self, declared: Iterable[str]) -> None:
        self._back = {legal(name): name for name in declared}

    def caller_s(self, name: str) -> str | None:
        """The caller's name of a function; None if the caller declared none such."""
        return self._back.get(name)
