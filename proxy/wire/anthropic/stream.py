"""The reader of a Messages stream: the upstream's events in, OpenAI's chunks out.

The story feeds it piece by piece. Blocks come one after another, each with an index of its own;
text, thinking and calls of the caller's tools are passed on, everything else is passed over; what
must come back with the calls is kept aside (`memory.py`). Counts in later events replace those in
earlier ones, for they are totals. An answer is whole when the upstream says so, or has given its
reason to stop before the body ended; nothing is made up for it.
"""

from typing import Any

from msgspec import Struct

from proxy.call import Call, Kind, Memory
from proxy.usage import Usage
from proxy.wire.anthropic.errors import complain
from proxy.wire.anthropic.memory import Keeping
from proxy.wire.anthropic.reply import Malformed, explanation, finish, string
from proxy.wire.anthropic.tools import answer_tool
from proxy.wire.anthropic.usage import reported
from proxy.wire.chunks import Chunks
from proxy.wire.counts import estimated, fewest, weighed
from proxy.wire.errors import inband
from proxy.wire.following import Following
from proxy.wire.sse import Event
from proxy.wire.tolerant import dumps, exact, loads


class _Block(Struct):
    """A block that is open."""

    kind: str
    """`text`, `thinking`, `call`, `answer` (a call that is the answer), or "" if it is passed over."""
    number: int = 0
    """Of a call, among those the caller sees."""
    whole: str = "{}"
    """Its arguments as its first event gave them, in case no piece follows."""
    begun: bool = False


class StreamReader(Following):
    """Follows one streamed answer (`dialect.Reader`)."""

    __slots__ = (
        "_answer_name",
        "_begun",
        "_blocks",
        "_call",
        "_chunks",
        "_counts",
        "_details",
        "_kept",
        "_legacy",
        "_reason",
        "_texted",
        "_totalled",
    )

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call
        self._legacy = bool(call.body.get("functions"))
        self._answer_name = answer_tool(call.body)
        self._chunks = Chunks(call, legacy=self._legacy)
        self._kept = Keeping()
        self._blocks: dict[int, _Block] = {}
        self._counts: dict[str, Any] = {}
        self._totalled = False
        """Whether the count is of the whole answer; before, only its input can be believed."""
        self._begun = False
        self._texted = False
        self._reason: Any = None
        self._details: Any = None

    @property
    def content(self) -> bool:
        """Whether anything the caller can see has been read."""
        return self._chunks.output_bytes > 0

    @property
    def usage(self) -> Usage:
        """The upstream's own count; of an answer cut short, its input and an estimate of what was seen."""
        output_bytes, pieces = self._chunks.output_bytes, self._chunks.pieces
        seen = estimated(self._call.prompt_bytes, output_bytes, pieces)
        report, least = reported(self._counts), fewest(output_bytes, pieces)
        return weighed(report, seen, least, whole=self._totalled)

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What must come back with the calls; the old form of calls has no ids to find it by."""
        return self._kept.memories() if self.ended and not self._legacy else ()

    def finish(self) -> bytes:
        """The body ended cleanly: the last bytes, or `failure` if it ended too early."""
        if self._over():
            return b""
        out = b"".join(self._event(event) for event in self._events.rest() if _is_whole(event))
        if self._over():
            return out
        if self._begun and isinstance(self._reason, str):
            return out + self._end()
        self._fail(Kind.TRUNCATED, "ended without a stop")
        return out

    def _event(self, event: Event) -> bytes:
        if not event.data.strip() and event.name != b"error":
            return b""
        try:
            said = loads(event.data or b"{}")
        except ValueError:
            return self._fail(Kind.BAD_ANSWER, "an event is not JSON")
        if not isinstance(said, dict):
            return self._fail(Kind.BAD_ANSWER, "an event is not an object")
        if said.get("type") == "error" or said.get("error") or event.name == b"error":
            self.failure = inband(complain(said), self._phase())
            return b""
        try:
            return self._said(said, event.data)
        except (Malformed, ValueError):
            return self._fail(Kind.BAD_ANSWER, "a malformed event")

    def _said(self, said: dict[str, Any], data: bytes) -> bytes:
        match said.get("type"):
            case "content_block_delta":
                return self._delta(self._block(said), said.get("delta"))
            case "content_block_start":
                return self._start(exact(said, data))  # it may hold the arguments of a call
            case "content_block_stop":
                return self._stop(self._block(said))
            case "message_start":
                self._message(said.get("message"))
            case "message_delta":
                self._message_delta(said)
            case "message_stop":
                if not self._begun:
                    return self._fail(Kind.BAD_ANSWER, "a stop without a start")
                if self._reason is None and not self.content:
                    return self._fail(Kind.BAD_ANSWER, "neither an answer nor its end")
                return self._end()
        return b""

    def _message(self, message: Any) -> None:
        """The answer begins. Some gateways say so twice; the first time counts."""
        if self._begun:
            return
        if not isinstance(message, dict):
            raise Malformed
        self._begun = True
        if isinstance(message.get("model"), str):
            self._chunks.model = message["model"]
        self._count(message.get("usage"))

    def _message_delta(self, said: dict[str, Any]) -> None:
        delta = said.get("delta")
        if isinstance(delta, dict):
            self._reason = delta.get("stop_reason") or self._reason
            self._details = delta.get("stop_details") or self._details
        if self._count(said.get("usage")):
            self._totalled = True

    def _count(self, usage: Any) -> bool:
        if not isinstance(usage, dict):
            return False
        self._counts.update({name: value for name, value in usage.items() if value is not None})
        return True

    def _block(self, said: dict[str, Any]) -> _Block | None:
        index = said.get("index")
        return self._blocks.get(index) if type(index) is int else None

    def _start(self, said: dict[str, Any]) -> bytes:
        index, given = said.get("index"), said.get("content_block")
        if type(index) is not int or not isinstance(given, dict) or not self._begun:
            raise Malformed
        kind = given.get("type")
        if kind == "tool_use":
            return self._open_call(index, given)
        self._blocks[index] = _Block(kind if kind in ("text", "thinking") else "")
        match kind:
            case "text":
                return self._text(string(given, "text"), begins=True)
            case "thinking":
                thought = string(given, "thinking")
                self._kept.thought(thought, given.get("signature"))
                return self._chunks.reasoning(thought)
            case "redacted_thinking":
                self._kept.hidden(given.get("data"))
        return b""

    def _open_call(self, index: int, given: dict[str, Any]) -> bytes:
        name, made = string(given, "name"), string(given, "id")
        whole = given.get("input") or {}
        if not name or not made or not isinstance(whole, dict):
            raise Malformed
        block = self._blocks[index] = _Block("call", whole=dumps(whole).decode())
        if name == self._answer_name:
            block.kind = "answer"
            return b""
        self._kept.call(made)
        block.number, out = self._chunks.open_call(name, made)
        return out

    def _delta(self, block: _Block | None, delta: Any) -> bytes:
        if block is None or not isinstance(delta, dict):
            raise Malformed  # what belongs to no block would be missing, and nobody would know
        if not block.kind:
            return b""
        match delta.get("type"):
            case "text_delta":
                return self._text(string(delta, "text")) if block.kind == "text" else b""
            case "thinking_delta" if block.kind == "thinking":
                thought = string(delta, "thinking")
                self._kept.thinks(thought)
                return self._chunks.reasoning(thought)
            case "input_json_delta":
                return self._input(block, string(delta, "partial_json"))
            case "signature_delta" if block.kind == "thinking":
                self._kept.signs(delta.get("signature"))
        return b""

    def _text(self, text: str, *, begins: bool = False) -> bytes:
        self._texted = self._texted or bool(text)
        self._kept.text(text, begins=begins)
        return self._chunks.text(text)

    def _input(self, block: _Block, text: str) -> bytes:
        block.begun = block.begun or bool(text)
        if block.kind == "answer":
            return self._text(text)
        return self._chunks.arguments(block.number, text) if block.kind == "call" else b""

    def _stop(self, block: _Block | None) -> bytes:
        if block is None or block.begun:
            return b""
        return self._input(block, block.whole) if block.kind in {"call", "answer"} else b""

    def _end(self) -> bytes:
        """The finish, the count and `[DONE]`: the upstream has said that this was all."""
        out = b"".join(self._stop(block) for block in self._blocks.values())
        refused = explanation(self._reason, self._details)
        if refused and not self._texted:
            out += self._chunks.refusal(refused)
        word = finish(self._reason, called=self._chunks.called, legacy=self._legacy)
        self.ended = True
        return out + self._chunks.end(word, reported(self._counts))


def _is_whole(event: Event) -> bool:
    """Whether an event without its closing blank line was cut only there, and not in its data."""
    try:
        loads(event.data)
    except ValueError:
        return False
    return True
