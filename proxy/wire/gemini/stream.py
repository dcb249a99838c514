"""The reader of a Gemini stream: Google's bytes in, the caller's bytes out.

Gemini has no word for the end of a stream: it is whole if the body ended cleanly and every candidate
of it had said why it stopped (`answer.py`). The finishes therefore go out at the end and not before. An
error may come as a bare JSON body under the name of a stream, alone in a list or not; so may a whole answer.
"""

from typing import Any

from proxy.call import Call, Kind, Memory
from proxy.usage import Usage
from proxy.wire.chunks import Chunks
from proxy.wire.counts import estimated, fewest, weighed
from proxy.wire.following import Following
from proxy.wire.gemini.answer import Answer
from proxy.wire.gemini.candidate import Piece
from proxy.wire.gemini.errors import inband, is_error
from proxy.wire.gemini.partial import Malformed
from proxy.wire.sse import MAX_EVENT, Event
from proxy.wire.tolerant import exact, loads

_BLANK = b"\xef\xbb\xbf \t\r\n"
_JSON = (b"{", b"[")


class GeminiReader(Following):
    """Follows one streamed answer (`dialect.Reader`)."""

    __slots__ = ("_answer", "_bare", "_call", "_chunks", "_opened")

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call
        self._answer = Answer(call)
        self._chunks = [Chunks(call, legacy=bool(call.body.get("functions")))]
        """One for each choice that has begun, and the first in any case."""
        self._opened = False
        self._bare: bytearray | None = None
        """A body that is not framed as events."""

    @property
    def content(self) -> bool:
        """Whether anything the caller can see has been read."""
        return any(chunks.output_bytes for chunks in self._chunks)

    @property
    def usage(self) -> Usage:
        """Google's own count; of an answer that was cut, or counted too early, no less than was seen."""
        output_bytes = sum(chunks.output_bytes for chunks in self._chunks)
        pieces = sum(chunks.pieces for chunks in self._chunks)
        seen = estimated(self._call.prompt_bytes, output_bytes, pieces)
        answer, report = self._answer, self._answer.usage
        enough = report is not None and report.output >= seen.output
        whole = answer.counted and (answer.ended or enough)
        return weighed(report, seen, fewest(output_bytes, pieces), whole=whole)

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What must come back with the tool calls of an answer that has ended."""
        return self._answer.memories if self.ended else ()

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller out of the next piece of the upstream's body."""
        if self._over():
            return b""
        if not self._opened:
            self._open(data)
        if self._bare is None:
            return super().feed(data)
        self._bare += data
        return self._fail(Kind.BAD_ANSWER, "body too long") if len(self._bare) > MAX_EVENT else b""

    def finish(self) -> bytes:
        """The body ended cleanly: the last bytes, or `failure` if it ended too early."""
        if self._over():
            return b""
        out = [self._said(bytes(self._bare), Kind.TRUNCATED)] if self._bare is not None else []
        out += [self._said(event.data, Kind.TRUNCATED) for event in self._events.rest()]
        if not self._over():
            out.append(self._end())
        return b"".join(out)

    def _open(self, data: bytes) -> None:
        """Look at the first byte that is not blank."""
        opening = data.lstrip(_BLANK)
        self._opened = bool(opening)
        if opening.startswith(_JSON):
            self._bare = bytearray()

    def _event(self, event: Event) -> bytes:
        return self._said(event.data, Kind.BAD_ANSWER)

    def _said(self, data: bytes, otherwise: Kind) -> bytes:
        """What one event, or a whole bare body, brings; `otherwise` is what it means if it is no JSON."""
        if not data.strip() or data.startswith(b"[DONE]"):
            return b""
        try:
            said = exact(loads(data), data)
        except ValueError:
            return self._fail(otherwise, "an event is not JSON")
        if is_error(said):
            self.failure = inband(said, self._phase())
            return b""
        out = []
        for chunk in said if isinstance(said, list) else [said]:
            try:
                out.append(self._chunk(chunk))
            except ValueError:
                return b"".join(out) + self._fail(Kind.BAD_ANSWER, "a malformed chunk")
        return b"".join(out)

    def _chunk(self, chunk: Any) -> bytes:
        if not isinstance(chunk, dict):
            raise Malformed("a chunk is not an object")
        pieces = self._answer.take(chunk)
        fault = self._answer.fault()
        if fault is not None and not self.content:
            return self._fail(fault, "the model's answer was no answer")
        self._chunks[0].model = self._answer.model
        return b"".join([self._piece(piece) for piece in pieces])

    def _piece(self, piece: Piece) -> bytes:
        begun = self._begin(piece.choice) if piece.choice else b""
        chunks = self._chunks[piece.choice]
        match piece.kind:
            case "text":
                return begun + chunks.text(piece.text, piece.logprobs)
            case "reasoning":
                return begun + chunks.reasoning(piece.text)
            case "call":
                number, opened = chunks.open_call(piece.name, piece.made_id)
                return begun + opened + chunks.arguments(number, piece.text)

    def _begin(self, choice: int) -> bytes:
        """Every choice up to this one: clients find them by their place in a list."""
        begun = self._chunks[0].begin()
        while len(self._chunks) <= choice:
            self._chunks.append(self._chunks[0].beside(len(self._chunks)))
        return begun + b"".join([chunks.begin() for chunks in self._chunks[1:choice]])

    def _end(self) -> bytes:
        answer, first = self._answer, self._chunks[0]
        if not answer.ended:
            return self._fail(Kind.TRUNCATED, "ended without a finish")
        if answer.unsayable and not self.content:
            return self._fail(Kind.UNSAYABLE, "no word in the answer")
        self.ended = True
        if answer.refusal is not None:
            return first.refusal(answer.refusal) + first.close("content_filter") + first.done(answer.shown)
        begun = self._begin(len(answer.candidates) - 1)
        closed = [
            chunks.close(candidate.finish_reason())
            for chunks, candidate in zip(self._chunks, answer.candidates, strict=True)
        ]
        return begun + b"".join(closed) + first.done(answer.shown)
