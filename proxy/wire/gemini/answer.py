"""What Gemini says, piece by piece, whether it comes whole or as a stream.

Replies and readers keep one `Answer` and feed it every chunk; a whole answer is a stream of one. It
knows nothing of framing. Each answer that was asked for has its `Candidate`, by the index that Gemini
gives it, and those that nobody asked for are passed over.

An answer is whole if each candidate up to the last that was seen has said why it stopped: Gemini may
give fewer than were asked for, but one that has begun, or was passed over for a later one, must end.
Where the prompt was blocked there are none, and the block is the answer.
"""

from typing import Any

from proxy.call import Call, Kind, Memory
from proxy.usage import Usage
from proxy.wire.gemini.candidate import Candidate, Piece
from proxy.wire.gemini.counts import reported, shown
from proxy.wire.gemini.names import Names
from proxy.wire.gemini.partial import Malformed
from proxy.wire.gemini.tools import declared
from proxy.wire.words import word


class Answer:
    """One answer so far."""

    __slots__ = ("_asked", "_call", "_metadata", "_names", "blocked", "candidates", "counted", "model")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._asked: int = call.body.get("n") or 1
        self._names = Names(declared(call.body))
        self.candidates: list[Candidate] = []
        """By their index, without gaps."""
        self.blocked: str | None = None
        """Why Google would not even begin."""
        self.model = call.model
        self._metadata: dict[str, Any] = {}
        """The latest count, not looked at before somebody asks: one comes with every chunk."""
        self.counted = True
        """Whether nothing was said after it."""

    @property
    def usage(self) -> Usage | None:
        """Google's own count so far, if it can be believed."""
        return reported(self._metadata)

    @property
    def shown(self) -> dict[str, Any] | None:
        """The same as the caller may see it."""
        usage = self.usage
        return None if usage is None else shown(usage, self._metadata)

    @property
    def ended(self) -> bool:
        """Whether it is whole."""
        if not self.candidates:
            return self.blocked is not None
        return all(candidate.finish is not None for candidate in self.candidates)

    @property
    def unsayable(self) -> bool:
        """Whether it is pictures or sounds alone; of several answers one that speaks is enough.

        Who asks for a picture gets one, and that is no fault of the upstream's: another may do it in words.
        """
        candidates = self.candidates
        return any(one.shown for one in candidates) and not any(one.speaks for one in candidates)

    @property
    def refusal(self) -> str | None:
        """Why the model never began, where Google says so."""
        if self.candidates or self.blocked is None:
            return None
        return f"The prompt was blocked: {self.blocked}."

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What must come back with the tool calls of each candidate."""
        found = [candidate.memory for candidate in self.candidates]
        return tuple(memory for memory in found if memory is not None)

    def fault(self) -> Kind | None:
        """What is wrong with a candidate that has ended, if anything is."""
        for candidate in self.candidates:
            fault = candidate.fault()
            if fault is not None:
                return fault
        return None

    def take(self, chunk: dict[str, Any]) -> list[Piece]:
        """What the next chunk brings; `Malformed` if no client could read it."""
        if isinstance(chunk.get("modelVersion"), str):
            self.model = chunk["modelVersion"]
        metadata = chunk.get("usageMetadata")
        counts = False
        if isinstance(metadata, dict) and metadata.get("promptTokenCount"):
            self._metadata, counts = metadata, True
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self.blocked = word(feedback["blockReason"]) or "OTHER"
        candidates = chunk.get("candidates") or []
        if not isinstance(candidates, list):
            raise Malformed("malformed candidates")
        pieces: list[Piece] = []
        for said in candidates:
            if not isinstance(said, dict):
                raise Malformed("malformed candidates")
            candidate = self._candidate(said.get("index") or 0)
            if candidate is not None:
                candidate.take(said, pieces)
        self.counted = counts or (self.counted and not pieces)
        return pieces

    def _candidate(self, index: Any) -> Candidate | None:
        """The candidate of that index; None if nobody asked for it."""
        if type(index) is not int or not 0 <= index < self._asked:
            return None
        while len(self.candidates) <= index:
            self.candidates.append(Candidate(self._call, self._names, len(self.candidates)))
        return self.candidates[index]
