"""One of the answers that were asked for, as Gemini says it piece by piece.

`answer.py` keeps a `Candidate` for each and feeds it what comes under its index. What the caller did
not offer never comes out: calls to functions of the model's own invention, and the traces of tools
that ran at Google. What must come back with the calls is remembered on the way.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from proxy.call import Call, Kind, Memory
from proxy.wire.answer import made_id as ours
from proxy.wire.gemini.logprobs import logprobs
from proxy.wire.gemini.names import Names
from proxy.wire.gemini.partial import Malformed, PartialCall
from proxy.wire.gemini.signatures import Trace
from proxy.wire.tolerant import dumps

_FINISHES: Mapping[str, str] = {
    **dict.fromkeys(("MAX_TOKENS", "CONTINUATION"), "length"),
    **dict.fromkeys(
        (
            "BLOCKLIST",
            "ESCALATION",
            "IMAGE_OTHER",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "IMAGE_SAFETY",
            "LANGUAGE",
            "MODEL_ARMOR",
            "PROHIBITED_CONTENT",
            "RECITATION",
            "SAFETY",
            "SPII",
        ),
        "content_filter",
    ),
}
"""All others are a plain stop."""
_FAULTS: Mapping[str, Kind] = {
    **dict.fromkeys(
        ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS", "UNEXPECTED_TOOL_CALL"),
        Kind.BAD_ANSWER,
    ),
    "MISSING_THOUGHT_SIGNATURE": Kind.UNABLE,
    "PUP_LIMITED_DISABLED": Kind.BAD_KEY,
}
"""Finishes by which there is no answer; after content they are a plain stop."""
_SIGNATURE_ALONE = frozenset({"thought", "thoughtSignature"})
"""A part that has nothing else signs an empty text."""


class Piece(NamedTuple):
    """Something that the caller may see."""

    kind: Literal["text", "reasoning", "call"]
    text: str
    """For a call: its arguments."""
    choice: int
    """Which of the answers it belongs to."""
    logprobs: dict[str, Any] | None = None
    name: str = ""
    made_id: str = ""


class Candidate:
    """One candidate so far."""

    __slots__ = (
        "_call_id",
        "_ids",
        "_index",
        "_legacy",
        "_names",
        "_open",
        "_spoken",
        "_stray",
        "_trace",
        "finish",
        "shown",
    )

    def __init__(self, call: Call, names: Names, index: int) -> None:
        self._call_id = call.id
        self._index = index
        self._names = names
        self._legacy = bool(call.body.get("functions"))
        self._ids: list[str] = []
        """Of the calls that the caller sees."""
        self._trace = Trace()
        self._open: PartialCall | None = None
        self._stray = False
        """A call came that the caller did not offer."""
        self.shown = False
        """A picture or a sound came, which no chat completion can hold."""
        self._spoken = False
        """There is a text."""
        self.finish: str | None = None
        """Gemini's own word for the end."""

    @property
    def memory(self) -> Memory | None:
        """What must come back with its calls; old functions have no ids under which it could."""
        return None if self._legacy else self._trace.memory()

    @property
    def speaks(self) -> bool:
        """Whether there is anything of it that a chat completion can hold."""
        return self._spoken or bool(self._ids)

    def fault(self) -> Kind | None:
        """What is wrong with an answer that has ended; of no matter once the caller has some of it."""
        if self.finish is None:
            return None
        if self.finish in _FAULTS or self._stray:
            return _FAULTS.get(self.finish, Kind.BAD_ANSWER)
        return None

    def finish_reason(self) -> str:
        """OpenAI's word for the end."""
        word = _FINISHES.get(self.finish or "", "stop")
        if word == "stop" and self._ids:
            return "function_call" if self._legacy else "tool_calls"
        return word

    def take(self, candidate: Mapping[str, Any], out: list[Piece]) -> None:
        """Add to `out` what the next piece brings; `Malformed` if no client could read it."""
        finish = candidate.get("finishReason")
        if isinstance(finish, str) and finish:
            self.finish = finish
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        odds = logprobs(candidate.get("logprobsResult"))
        if parts is not None and not isinstance(parts, list):
            raise Malformed("parts are no list")
        for part in parts or ():
            if not isinstance(part, dict):
                raise Malformed("a part is not an object")
            text = part.get("text")
            if text is None and part.keys() <= _SIGNATURE_ALONE:
                text = ""
            if text is not None:
                odds = self._text(part, text, odds, out)
            elif "inlineData" in part:
                self.shown = True
            if "functionCall" in part:
                self._function_call(part["functionCall"], part.get("thoughtSignature"), out)
        if self.finish is not None and self._open is not None:
            raise Malformed("a call was never completed")

    def _text(
        self, part: dict[str, Any], text: Any, odds: dict[str, Any] | None, out: list[Piece]
    ) -> dict[str, Any] | None:
        """A text or a thought, either of which may be empty but signed; the odds that are left."""
        if not isinstance(text, str):
            raise Malformed("a text is none")
        signature = part.get("thoughtSignature")
        if part.get("thought") is True:
            if signature is not None:
                self._trace.thought(text, signature)
            if text:
                out.append(Piece("reasoning", text, self._index))
            return odds
        if signature is not None:
            self._trace.text(len(text), signature)
        else:
            self._trace.plain += len(text)
        if not text:
            return odds
        self._spoken = True
        out.append(Piece("text", text, self._index, odds))
        return None

    def _function_call(self, call: Any, signature: Any, out: list[Piece]) -> None:
        """A call, once it is complete."""
        if not isinstance(call, dict):
            raise Malformed("a call is not an object")
        making = self._open
        if making is None:
            making = PartialCall(call)
        making.add(call.get("partialArgs"))
        making.signature = making.signature or signature
        self._open = making if call.get("willContinue") is True else None
        if self._open is not None:
            return
        name = self._names.caller_s(making.name) if isinstance(making.name, str) else None
        if name is None or self.finish in _FAULTS:
            self._stray = True
            return
        ident = self._ident(making.made_id)
        self._trace.call(ident, making.signature, named=ident == making.made_id)
        self._ids.append(ident)
        out.append(Piece("call", dumps(making.args).decode(), self._index, None, name, ident))

    def _ident(self, made_id: Any) -> str:
        """Gemini's id of the call, or one made of ours: the same again if this is done again."""
        if isinstance(made_id, str) and made_id and made_id not in self._ids:
            return made_id
        return ours(self._call_id, self._index, len(self._ids))
