"""What the caller has of a streamed answer, kept so that another upstream can go on with it.

`book.py` puts a `Followed` around each reader of a call whose route mends broken streams, and none
around any other. Whatever the dialect, a reader writes OpenAI's chunks, so the caller's own bytes are
what is read here. It must never let two answers pass for one: what comes from a second upstream goes
out only where it goes on exactly from the last character that the first one left.

    first answer    "The sea is " ✗      sent: "The sea is", a space held back
    continued                  " wide."  sent: " wide."
    or anew         "The sea is wide."   sent: " wide.", for the rest is there already
"""

from typing import Any

from proxy.call import Kind, Memory, Phase, Signal
from proxy.usage import Usage
from proxy.wire.counts import reported, shown
from proxy.wire.dialect import Reader
from proxy.wire.tolerant import dumps, loads

_HEAD = ("id", "created", "model", "system_fingerprint")
"""Members that stay the same from the first chunk of an answer to its last."""
_THOUGHTS = ("reasoning_content", "reasoning")
_PLAIN = frozenset({"role", "content", *_THOUGHTS})
_DATA = b"data: {"
MOST = 1 << 20
"""Characters kept of an answer; a longer one is not gone on with."""


class Sent:
    """One answer as the caller has it, from one upstream or from several after one another."""

    __slots__ = (
        "_ahead", "_head", "_held", "_holds", "_parts", "_plain", "_size", "_spent", "skipping", "strayed",
    )  # fmt: skip

    def __init__(self, *, holds_space: bool) -> None:
        self._holds = holds_space
        """White space at the end waits for what follows it: a model goes on badly from half a gap."""
        self._held = ""
        self._parts: list[str] = []
        self._size = 0
        self._plain = True
        self._head: dict[str, Any] | None = None
        self._spent: Usage | None = None
        """By the attempts before this one; None while the first still speaks."""
        self._ahead = ""
        """What the present answer must still repeat before anything of it is new."""
        self.skipping = False
        """Whether the last bytes brought only what the caller has already."""
        self.strayed = False
        """Whether the present answer is another than the one that the caller has the beginning of."""

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._parts)

    @property
    def open(self) -> bool:
        """Whether another could go on with it: some text, nothing but text, and not at its end."""
        return self._plain and 0 < self._size <= MOST

    def resume(self, spent: Usage, *, anew: bool) -> None:
        """The next bytes come from another upstream, which goes on or (`anew`) begins from the beginning."""
        self._spent = spent
        self._held = ""
        self._ahead = self.text if anew else ""
        self.strayed = False

    def take(self, data: bytes) -> bytes:
        """What the caller is sent of the next whole events of a reader."""
        self.skipping = False
        out = []
        for block in data.split(b"\n\n"):
            if self.strayed:
                break
            if block:
                out.append(self._block(block))
        return b"".join(out)

    def _block(self, block: bytes) -> bytes:
        raw = block + b"\n\n"
        if not block.startswith(_DATA):
            return raw
        chunk = loads(block[len(_DATA) - 1 :])
        changed = self._same_head(chunk)
        choices = chunk.get("choices")
        if choices:
            kept, altered = self._choice(choices[0])
            if not kept:
                return b""
            changed = altered or changed
        elif self._spent is not None and (usage := reported(chunk.get("usage"))) is not None:
            chunk["usage"] = shown(usage.plus(self._spent))
            changed = True
        return b"data: " + dumps(chunk) + b"\n\n" if changed else raw

    def _same_head(self, chunk: dict[str, Any]) -> bool:
        if self._head is None:
            self._head = {name: chunk[name] for name in _HEAD if name in chunk}
        if self._spent is None:
            return False
        for name in _HEAD:
            chunk.pop(name, None)
        chunk.update(self._head)
        return True

    def _choice(self, choice: dict[str, Any]) -> tuple[bool, bool]:
        """(whether anything of the piece goes out, whether it was altered)."""
        delta = choice["delta"]
        ended = choice.get("finish_reason") is not None
        altered = False
        if self._spent is not None:
            altered = delta.pop("role", None) is not None
            if self._ahead:
                self._skip(delta)
                altered = True
                self.strayed = self.strayed or bool(self._ahead and ended)
            # Thoughts after text: its second half may have been taken for thoughts, and is lost as text.
            self.strayed = self.strayed or any(delta.get(name) for name in _THOUGHTS)
            if self.strayed or not (ended or any(delta.values())):
                return False, True
        if ended or any(delta.get(name) for name in delta.keys() - _PLAIN):
            self._plain = False
        text = delta.get("content") or ""
        if self._holds and (text or self._held):
            whole = self._held + text
            text = whole.rstrip() if self._plain else whole
            self._held = whole[len(text) :]
            if text != (delta.get("content") or ""):
                delta["content"] = text
                altered = True
        self._note(text)
        return True, altered

    def _skip(self, delta: dict[str, Any]) -> None:
        """Take off a piece what the caller already has. Thoughts are not sent again, and not compared."""
        for name in _THOUGHTS:
            delta.pop(name, None)
        if any(delta.get(name) for name in delta.keys() - {"content"}):
            self.strayed = True
        text = delta.get("content") or ""
        if self._ahead.startswith(text):
            self._ahead = self._ahead[len(text) :]
            self.skipping = self.skipping or bool(text)
            delta["content"] = ""
        elif text.startswith(self._ahead):
            delta["content"] = text[len(self._ahead) :]
            self._ahead = ""
        else:
            self.strayed = True
            delta["content"] = ""

    def _note(self, text: str) -> None:
        self._size += len(text)
        if text and self._size <= MOST:
            self._parts.append(text)


class Followed:
    """A reader whose bytes for the caller pass through a `Sent` (`dialect.Reader`)."""

    __slots__ = ("_reader", "_sent")

    def __init__(self, reader: Reader, sent: Sent) -> None:
        self._reader = reader
        self._sent = sent

    @property
    def content(self) -> bool:
        """Whether anything the caller can see has been read."""
        return self._reader.content

    @property
    def ended(self) -> bool:
        """Whether the answer is whole, and the caller's own."""
        return self._reader.ended and not self._sent.strayed

    @property
    def failure(self) -> Signal | None:
        """Why the answer is not, and will not be, whole."""
        if self._sent.strayed:
            return Signal(Kind.STRAYED, Phase.HEADERS, 200, detail="not the answer that was begun")
        return self._reader.failure

    @property
    def usage(self) -> Usage:
        """Of this attempt alone."""
        return self._reader.usage

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What must come back with the tool calls of an answer that has `ended`."""
        return self._reader.memories

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller out of the next piece of the upstream's body."""
        return self._sent.take(self._reader.feed(data))

    def finish(self) -> bytes:
        """The upstream's body has ended cleanly: the last bytes, or `failure` if it ended too early."""
        return self._sent.take(self._reader.finish())
