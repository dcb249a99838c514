"""What of a turn must come back with its tool calls: thought signatures, and where they stood.

Gemini signs parts of an answer, and its newest models refuse a history in which the signature of a
call is missing; callers know nothing of such things and lose them. So the answer's side keeps a
`Trace` of each turn that calls tools and hands it out as a `Memory`; when the calls come back, the
request's side reads it as a `Turn` and puts every signature on the very part that it came with.

The state tells texts that the caller has itself only by their length, so that it holds no more of an
answer than it must, and it is bounded: a turn that signs without end is not remembered at all.
"""

import re
from collections.abc import Mapping
from typing import Any

from proxy.call import Memory
from proxy.wire.gemini.media import Part
from proxy.wire.tolerant import dumps, loads

UNSIGNED = "skip_thought_signature_validator"
"""Google's documented word for a call whose thought signature is not known."""
MOST_BYTES = 512 * 1024
"""Signatures and signed thoughts of one turn."""
_SIGNATURE = "thoughtSignature"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)


def sound(signature: Any) -> bool:
    """Whether Gemini could have written it: the field is bytes, and no longer than a turn may sign."""
    return (
        isinstance(signature, str)
        and len(signature) <= MOST_BYTES
        and _BASE64.fullmatch(signature) is not None
    )


class Trace:
    """A turn as it is read: its parts in order, without the texts."""

    __slots__ = ("_calls", "_parts", "_told", "_weight", "plain")

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []
        self._calls: list[str] = []
        self._weight = 0
        self._told = False
        """Whether there is anything that a caller would not send back by itself."""
        self.plain = 0
        """Characters of answer since the last part that stands alone."""

    def text(self, length: int, signature: Any) -> None:
        """A signed piece of the answer, which may be empty."""
        self._add({"text": length}, signature)

    def thought(self, text: str, signature: Any) -> None:
        """A signed thought: callers need not send thoughts back, so this one is kept whole."""
        if sound(signature):
            self._add({"thought": text}, signature)

    def call(self, ident: str, signature: Any, *, named: bool) -> None:
        """A call under the id that the caller knows; `named` if the id is Gemini's own."""
        self._calls.append(ident)
        self._told = self._told or not named
        self._add({"call": ident, "named": named}, signature)

    def memory(self) -> Memory | None:
        """What must come back; None if that is nothing, or too much."""
        if not self._calls or not self._told or self._weight > MOST_BYTES:
            return None
        self._flush()
        return Memory(tuple(self._calls), dumps(self._parts))

    def _add(self, part: dict[str, Any], signature: Any) -> None:
        if sound(signature):
            part[_SIGNATURE] = signature
            self._told = True
        self._weight += len(part.get(_SIGNATURE, "")) + len(part.get("thought", ""))
        if self._weight > MOST_BYTES:
            self._parts.clear()
            return
        self._flush()
        self._parts.append(part)

    def _flush(self) -> None:
        if self.plain:
            self._parts.append({"text": self.plain})
            self.plain = 0


class Turn:
    """A turn as it was, read back from its state."""

    __slots__ = ("_calls", "_parts")

    def __init__(self, parts: list[dict[str, Any]]) -> None:
        self._parts = parts
        self._calls = {part["call"]: part for part in parts if "call" in part}

    def names(self, ident: str) -> bool:
        """Whether Gemini itself called it by this id; where nobody knows, the caller's id will do."""
        return self._calls.get(ident, {}).get("named") is not False

    def restore(self, said: list[Part], calls: Mapping[str, Part]) -> list[Part]:
        """The parts of a turn that has come back, signed, and in their old order if they are all there."""
        for ident, part in calls.items():
            if _SIGNATURE in self._calls.get(ident, {}):
                part[_SIGNATURE] = self._calls[ident][_SIGNATURE]
        text = "".join(part["text"] for part in said)
        length = sum(part.get("text", 0) for part in self._parts)
        if list(self._calls) != list(calls) or length != len(text):
            return [*said, *calls.values()]
        return self._as_it_was(text, calls)

    def _as_it_was(self, text: str, calls: Mapping[str, Part]) -> list[Part]:
        parts: list[Part] = []
        at = 0
        for kept in self._parts:
            if "call" in kept:
                parts.append(calls[kept["call"]])
                continue
            signed = {_SIGNATURE: kept[_SIGNATURE]} if _SIGNATURE in kept else {}
            if "thought" in kept:
                parts.append({"text": kept["thought"], "thought": True, **signed})
            else:
                parts.append({"text": text[at : at + kept["text"]], **signed})
                at += kept["text"]
        return parts


UNKNOWN = Turn([])
"""A turn of which nothing was kept."""


def turn_of(recalled: Mapping[str, bytes], calls: Mapping[str, Any]) -> Turn:
    """The turn that made these calls, as far as it is remembered."""
    state = next((recalled[ident] for ident in calls if ident in recalled), None)
    return UNKNOWN if state is None else Turn(loads(state))


def sent_back(call: Mapping[str, Any]) -> str | None:
    """The signature that a caller kept itself, in the shape of Google's own OpenAI layer."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if sound(signature) else None


def sign(parts: list[Part], *, needed: bool) -> list[Part]:
    """`parts`, the first call of which is never without a signature where one is `needed`."""
    first = next((part for part in parts if "functionCall" in part), None)
    if needed and first is not None:
        first.setdefault(_SIGNATURE, UNSIGNED)
    return parts
