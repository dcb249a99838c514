"""What Gemini says, piece by piece, whether it comes whole or as a stream.

Replies and readers keep one `Answer` and feed it every chunk; a whole answer is a stream of one. It
knows nothing of framing. What the caller did not offer never comes out: calls to functions of the
model's own invention, and the traces of tools that ran at Google.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from proxy.call import Call, Kind
from proxy.usage import Usage
from proxy.wire.gemini.counts import reported
from proxy.wire.gemini.logprobs import logprobs
from proxy.wire.gemini.names import Names
from proxy.wire.gemini.partial import Malformed, PartialCall
from proxy.wire.gemini.tools import declared
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


class Piece(NamedTuple):
    """Something that the caller may see."""

    kind: Literal["text", "reasoning", "call"]
    text: str
    """For a call: its arguments."""
    name: str = ""
    made_id: str = ""
    logprobs: dict[str, Any] | None = None


class Answer:
    """One answer so far."""

    __slots__ = (
        "_call_id",
        "_calls",
        "_legacy",
        "_metadata",
        "_names",
        "_open",
        "_stray",
        "blocked",
        "finish",
        "model",
    )

    def __init__(self, call: Call) -> None:
        self._call_id = call.id
        self._names = Names(declared(call.body))
        self._legacy = bool(call.body.get("functions"))
        self._calls = 0
        self._open: PartialCall | None = None
        self._stray = False
        """A call came that the caller did not offer."""
        self.blocked: str | None = None
        """Why Google would not even begin."""
        self.finish: str | None = None
        """Gemini's own word for the end."""
        self.model = call.model
        self._metadata: dict[str, Any] = {}
        """The latest count, not looked at before somebody asks: one comes with every chunk."""

    @property
    def usage(self) -> Usage | None:
        """Google's own count so far, if it can be believed."""
        return reported(self._metadata)

    def take(self, chunk: dict[str, Any]) -> list[Piece]:
        """What the next chunk brings; `Malformed` if no client could read it."""
        if isinstance(chunk.get("modelVersion"), str):
            self.model = chunk["modelVersion"]
        metadata = chunk.get("usageMetadata")
        if isinstance(metadata, dict) and metadata.get("promptTokenCount"):
            self._metadata = metadata
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self.blocked = str(feedback["blockReason"])
        candidates = chunk.get("candidates") or []
        if not isinstance(candidates, list) or not all(isinstance(one, dict) for one in candidates):
            raise Malformed("malformed candidates")
        return [piece for one in candidates if not one.get("index") for piece in self._candidate(one)]

    def fault(self) -> Kind | None:
        """What is wrong with an answer that has ended; of no matter once the caller has some of it."""
        if self.finish is None:
            return None
        return _FAULTS.get(self.finish, Kind.BAD_ANSWER if self._stray else None)

    def finish_reason(self) -> str:
        """OpenAI's word for the end."""
        if self.finish is None:
            return "content_filter"
        word = _FINISHES.get(self.finish, "stop")
        if word == "stop" and self._calls:
            return "function_call" if self._legacy else "tool_calls"
        return word

    def _candidate(self, candidate: dict[str, Any]) -> Iterator[Piece]:
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
            if text:
                if not isinstance(text, str):
                    raise Malformed("a text is none")
                thought = part.get("thought") is True
                yield Piece("reasoning", text) if thought else Piece("text", text, logprobs=odds)
                odds = odds if thought else None
            if "functionCall" in part:
                yield from self._function_call(part["functionCall"])
        if self.finish is not None and self._open is not None:
            raise Malformed("a call was never completed")

    def _function_call(self, call: Any) -> Iterator[Piece]:
        """A call, once it is complete."""
        if not isinstance(call, dict):
            raise Malformed("a call is not an object")
        making = self._open
        if making is None:
            making = PartialCall(call)
        making.add(call.get("partialArgs"))
        self._open = making if call.get("willContinue") is True else None
        if self._open is not None:
            return
        name = self._names.caller_s(making.name) if isinstance(making.name, str) else None
        if name is None or self.finish in _FAULTS:
            self._stray = True
            return
        yield Piece("call", dumps(making.args).decode(), name, self._id(making.made_id))
        self._calls += 1

    def _id(self, made_id: Any) -> str:
        """Gemini's id of the call, or one made of ours: the same again if this is done again."""
        if isinstance(made_id, str) and made_id:
            return made_id
        digest = hashlib.sha256(f"{self._call_id}/{self._calls}".encode()).hexdigest()
        return f"call_{digest[:24]}"
