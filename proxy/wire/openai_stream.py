"""The reader of an OpenAI-shaped stream: the upstream's bytes in, the caller's bytes out.

The story feeds it piece by piece. An event that needs no repair goes out byte for byte (in plain
`data:` framing); comments and empty fields never do. It must never let an answer pass for whole
that the upstream did not finish: `[DONE]` alone proves nothing, every choice must have ended.

The usage event is held back to the very end, whoever sends it when: the SDKs lose the count if
anything but `[DONE]` follows it, and a caller who did not ask must not see it at all. Id, time and model
stay those of the first chunk, though some servers give each chunk the time at which it was made.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from proxy.call import Kind, Memory
from proxy.table import ReasoningField
from proxy.usage import Usage
from proxy.wire.answer import drop, settle_counts
from proxy.wire.complaints import flatten
from proxy.wire.counts import Tally, estimated, fewest, reported, weighed
from proxy.wire.errors import inband
from proxy.wire.following import Following
from proxy.wire.openai_calls import Malformed
from proxy.wire.openai_choice import Choice
from proxy.wire.openai_thoughts import Thoughts
from proxy.wire.sse import Event
from proxy.wire.template import NULL_USAGE, Template, template_of
from proxy.wire.tolerant import CALLS, dumps, exact_calls, loads

_DONE = b"data: [DONE]\n\n"
_HEAD = ("id", "object", "created", "model", "system_fingerprint")
_CONSTANT = ("id", "created", "model")
"""Members that say the same in every chunk of one answer."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_GUESSES = 8
"""Templates tried in one answer: where each event differs from the last in more than its text, none fits."""


class Expected(Struct, frozen=True):
    """What a reader must know of the call and of its upstream."""

    prompt_bytes: int
    include_usage: bool
    """Whether the caller sees the usage event."""
    choices: int = 1
    """How many answers were asked for."""
    extras: frozenset[str] = frozenset()
    """Members of the engine's own that never reach the caller."""
    legacy: bool = False
    """The caller used `functions`, and is answered with `function_call`."""
    reasoning_field: ReasoningField = "reasoning_content"
    """The member in which the caller gets reasoning, or `none`."""
    call_id: str = ""
    """Of which the ids of tool calls that come without one are made; none are made of nothing."""
    recalls: bool = False
    """The upstream wants the reasoning of an answer with tool calls back."""
    asked: Mapping[str, Any] = _NOTHING
    """The caller's body: which tools may be called is looked up when one is."""


class StreamReader(Following):
    """Follows one streamed answer (`dialect.Reader`)."""

    __slots__ = (
        "_ahead",
        "_choices",
        "_counted",
        "_expected",
        "_first",
        "_guesses",
        "_ready",
        "_report",
        "_tally",
        "_template",
        "_thoughts",
        "_usage_event",
    )

    def __init__(self, expected: Expected) -> None:
        super().__init__()
        self._expected = expected
        self._choices: dict[int, Choice] = {}
        self._ahead: list[dict[str, Any]] = []
        """First pieces of choices that a later one came before."""
        self._first: dict[str, Any] = {}
        """What the first chunk said of the answer, for all of them."""
        self._thoughts = Thoughts() if expected.recalls else None
        self._tally = Tally()
        self._report: Usage | None = None
        self._counted = 0
        """Pieces that had been seen when the report came."""
        self._usage_event = b""
        self._template: Template | None = None
        """All but the text of a plain piece, once one has been read."""
        self._ready: Template | None = None
        """The same, where what comes next may be nothing but such pieces."""
        self._guesses = _GUESSES

    @property
    def content(self) -> bool:
        """Whether anything the caller can see has been read."""
        return self._tally.output_bytes > 0

    @property
    def usage(self) -> Usage:
        """The upstream's own count where it can be one of all that was seen; or else no less than that."""
        tally = self._tally
        output_bytes, pieces = tally.output_bytes + tally.waiting, tally.pieces
        seen = estimated(self._expected.prompt_bytes, output_bytes, pieces)
        return weighed(self._report, seen, fewest(output_bytes, pieces), whole=self._counted == pieces)

    @property
    def memories(self) -> tuple[Memory, ...]:
        """The reasoning that led to the tool calls of the first choice."""
        if not self.ended or self._thoughts is None:
            return ()
        return self._thoughts.memories(self._choices[0].calls)

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller out of the next piece of the body: mostly whole plain events, and no more."""
        if self._ready is not None:
            out = self._ready.take(data, self._tally)
            if out:
                return out
        out = super().feed(data)
        going_on = self._events.between and not self.ended and self.failure is None
        self._ready = self._template if going_on else None
        return out

    def finish(self) -> bytes:
        """The body ended cleanly: the last bytes, or `failure` if it ended too early."""
        if self._over():
            return b""
        out = b"".join(self._event(event) for event in self._events.rest() if _is_whole(event))
        if self._over():
            return out
        return out + self._done()

    def _event(self, event: Event) -> bytes:
        data = event.data
        if data.startswith(b"[DONE]"):
            return self._done()
        if self._template is not None and not event.name:
            out = self._template.take(event.raw, self._tally)
            if out:
                return out
        if not data.strip() and event.name != b"error":
            return b""
        try:
            chunk = loads(data or b"{}")
        except ValueError:
            return self._fail(Kind.BAD_ANSWER, "an event is not JSON")
        if not isinstance(chunk, dict):
            return self._fail(Kind.BAD_ANSWER, "an event is not an object")
        if chunk.get("error") or event.name == b"error" or chunk.get("object") == "error":
            self.failure = inband(flatten(chunk), self._phase())
            return b""
        try:
            if CALLS in data:
                chunk = exact_calls(chunk, data)
            return self._chunk(chunk, event.raw)
        except (Malformed, ValueError):
            return self._fail(Kind.BAD_ANSWER, "a malformed chunk")

    def _chunk(self, chunk: dict[str, Any], raw: bytes) -> bytes:
        if "x_groq" in chunk:
            _adopt_usage(chunk)
        choices = chunk.get("choices")
        if not choices:
            return self._without_choices(chunk, raw)
        changed = self._pieces(choices)
        if self.failure is not None:
            return b""
        extras = self._expected.extras
        if not extras.isdisjoint(chunk) and drop(chunk, extras):
            changed = True
        out = self._outgoing(chunk, raw, changed=changed)
        if not changed and self._guesses and choices[0]["delta"].get("content"):
            self._guess(chunk, raw, out)
        return out

    def _guess(self, chunk: dict[str, Any], raw: bytes, out: bytes) -> None:
        """Make a template of an event, if it is one that goes out as it came, now and later."""
        shortens = out != raw
        if self._first and (not shortens or out == raw.replace(NULL_USAGE, b"")):
            self._guesses -= 1
            self._template = template_of(raw, chunk, shortens=shortens)

    def _pieces(self, choices: Any) -> bool:
        """Each choice's piece, noted and put right; whether any changed."""
        if type(choices) is not list:
            raise Malformed
        changed, extras = False, self._expected.extras
        for piece in choices:
            if type(piece) is not dict:
                raise Malformed
            if piece.get("error"):
                self.failure = inband(flatten({"error": piece["error"]}), self._phase())
                return changed
            index = piece.get("index")
            if index is None:
                index = piece["index"] = 0
                changed = True
            choice = self._choices.get(index) if type(index) is int else None
            if choice is None:
                choice = self._begin(index)
            changed = choice.take(piece) or changed
            if choice.broken:
                self._fail(Kind.OVERLOADED, "the upstream gave up")
            if not extras.isdisjoint(piece) and drop(piece, extras):
                changed = True
        if self._ahead:
            choices[:0] = self._ahead
            self._ahead = []
            changed = True
        return changed

    def _begin(self, index: Any) -> Choice:
        """The next choice; those before it begin first, because the SDKs count them as they come."""
        if type(index) is not int or not 0 <= index < max(self._expected.choices, 1):
            raise Malformed
        for earlier in range(index):
            if earlier not in self._choices:
                opening = {"index": earlier, "delta": {"content": ""}, "finish_reason": None}
                self._begin(earlier).take(opening)
                self._ahead.append(opening)
        thoughts = self._thoughts if index == 0 else None
        said = self._expected
        choice = self._choices[index] = Choice(
            self._tally, thoughts, said.reasoning_field, said.asked, (said.call_id, index), legacy=said.legacy
        )
        return choice

    def _outgoing(self, chunk: dict[str, Any], raw: bytes, *, changed: bool) -> bytes:
        """The chunk as one of the first one's answer, without the count that it may also carry."""
        changed = self._adopt(chunk) or changed
        if "usage" in chunk:
            usage = chunk["usage"]
            if usage is not None:
                self._count(chunk, usage)
                chunk["usage"] = None
                changed = True
            if not self._expected.include_usage:
                shorter = raw.replace(NULL_USAGE, b"")
                if not changed and len(shorter) == len(raw) - len(NULL_USAGE):
                    return shorter
                del chunk["usage"]
                changed = True
        return _frame(chunk) if changed else raw

    def _without_choices(self, chunk: dict[str, Any], raw: bytes) -> bytes:
        """The usage event, held back; or another that some clients trip over and few need."""
        if chunk.get("usage"):
            changed = bool(self._choices) and self._adopt(chunk)
            changed = self._count(chunk, chunk["usage"]) or changed
            if self._expected.include_usage and type(chunk.get("choices")) is list and not changed:
                self._usage_event = raw
            return b""
        if self._choices and type(chunk.get("choices")) is list:
            return self._outgoing(chunk, raw, changed=False)
        return b""

    def _adopt(self, chunk: dict[str, Any]) -> bool:
        """Make it a chunk of the first one's answer; whether it said that it was of another."""
        first = self._first
        if not first:
            for name in _CONSTANT:
                if name in chunk:
                    first[name] = chunk[name]
        changed = False
        for name, said in first.items():
            if chunk.get(name) != said:
                chunk[name] = said
                changed = True
        return changed

    def _count(self, chunk: dict[str, Any], usage: Any) -> bool:
        """Note a report, and make the event of it; whether it says more than came."""
        report = reported(usage)
        if report is not None:
            self._report, self._counted = report, self._tally.pieces
        settled = self._expected.include_usage and settle_counts(usage)
        if self._expected.include_usage:
            head = {name: chunk[name] for name in _HEAD if name in chunk}
            self._usage_event = _frame({**head, "choices": [], "usage": usage})
        return settled

    def _done(self) -> bytes:
        """`[DONE]`, if the answer has earned it: every choice that was asked for has ended."""
        for index in range(self._expected.choices):
            choice = self._choices.get(index)
            if choice is None or not choice.finished:
                return self._fail(Kind.TRUNCATED, "the end without a finish")
        self.ended = True
        return self._usage_event + _DONE


def _adopt_usage(chunk: dict[str, Any]) -> None:
    """A count that is told among service data only (Groq) is the chunk's own."""
    service = chunk["x_groq"]
    if isinstance(service, dict) and service.get("usage") and not chunk.get("usage"):
        chunk["usage"] = service["usage"]


def _frame(chunk: dict[str, Any]) -> bytes:
    return b"data: " + dumps(chunk) + b"\n\n"


def _is_whole(event: Event) -> bool:
    """Whether an event without its closing blank line was cut only there, and not in its data."""
    try:
        loads(event.data)
    except ValueError:
        return event.data == b"[DONE]"
    return True
