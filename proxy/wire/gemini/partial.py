"""A function call whose arguments come in pieces, each with the path where it belongs.

`candidate.py` keeps one while such a call is open. Pieces of a text are joined; whatever else comes is
set. What cannot be placed raises `Malformed`: half an argument must never reach a caller.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,4})\]|\['([^']+)'\]|\[\"([^\"]+)\"\]")


class Malformed(ValueError):
    """Gemini said something that no client could read."""


class PartialCall:
    """One call in the making."""

    __slots__ = ("args", "made_id", "name", "signature")

    def __init__(self, call: Mapping[str, Any]) -> None:
        self.name = call.get("name")
        self.made_id = call.get("id")
        self.signature: Any = None
        """Google's, whichever of the pieces it came with."""
        args = call.get("args") or {}
        if not isinstance(args, dict):
            raise Malformed("arguments are no object")
        self.args: dict[str, Any] = dict(args)

    def add(self, pieces: Any) -> None:
        """More of the arguments."""
        for piece in pieces if isinstance(pieces, list) else ():
            if not isinstance(piece, dict):
                raise Malformed("not a piece of arguments")
            self._place(_path(piece.get("jsonPath")), _value(piece))

    def _place(self, path: list[str | int], value: Any) -> None:
        holder: Any = self.args
        for step, following in pairwise(path):
            holder = _at(holder, step, [] if isinstance(following, int) else {})
        last = path[-1]
        if isinstance(value, str):
            before = _at(holder, last, "")
            if not isinstance(before, str):
                raise Malformed("a text where something else was")
            value = before + value
        _at(holder, last, value)
        holder[last] = value


def _at(holder: Any, step: str | int, otherwise: Any) -> Any:
    """What is at `step`, put there if nothing was."""
    if isinstance(holder, dict) and isinstance(step, str):
        return holder.setdefault(step, otherwise)
    if isinstance(holder, list) and isinstance(step, int) and step <= len(holder):
        if step == len(holder):
            holder.append(otherwise)
        return holder[step]
    raise Malformed("a piece of arguments has no place")


def _path(path: Any) -> list[str | int]:
    text = path if isinstance(path, str) else ""
    steps = list(_STEP.finditer(text))
    if not steps or "$" + "".join(step.group() for step in steps) != text:
        raise Malformed("a path of arguments cannot be read")
    return [int(step.group(2)) if step.group(2) else next(filter(None, step.groups())) for step in steps]


def _value(piece: dict[str, Any]) -> Any:
    for name in ("stringValue", "numberValue", "boolValue"):
        if name in piece:
            return piece[name]
    return None
