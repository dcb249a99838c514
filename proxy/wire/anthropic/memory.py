"""What must come back on the next turn: the model's thoughts, signed, and where they stood.

Callers keep the text and the calls of an answer and lose its thoughts, without which a model cannot
go on thinking between two tools. Readers and replies fill a `Keeping`; `messages.py` calls `rebuild`
when the calls return. Nothing of it is shown to anybody: it goes to `ports.Recall` and back upstream.

The state is JSON: `text` tells whether the caller sends the same text back, and `turn` is the answer
in its order. There an object is a thought, as it came; a number, so many characters of text; a
string, the call with that id.
"""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from proxy.call import Memory
from proxy.wire.anthropic.content import Block, text_block
from proxy.wire.tolerant import dumps, loads

MOST = 1024 * 1024
"""Bytes of thoughts of one answer; no recall keeps more. Beyond it nothing of the answer is kept."""
_PART = 64
"""What a part counts for besides its words, so that empty ones are bounded too."""
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}
"""What a thought is made of; the last is how the upstream knows it for its own."""
THOUGHTS = frozenset(_MEMBERS)
"""Blocks that are thoughts."""


class _Text:
    """A block of text: only how long it is, for the caller has the words."""

    __slots__ = ("length",)

    def __init__(self) -> None:
        self.length = 0


class _Thought:
    """A thought that is still being told."""

    __slots__ = ("signature", "words")

    def __init__(self, words: str, signature: str) -> None:
        self.words = [words]
        self.signature = [signature]

    def block(self) -> Block:
        """The wire's own block."""
        words, signature = "".join(self.words), "".join(self.signature)
        return {"type": "thinking", "thinking": words, "signature": signature}


class Keeping:
    """Collects an answer's thoughts and their places while it is read, and no more than may be kept.

    Blocks come one after another, so a piece always belongs to the block begun last. What only the
    upstream can read need not be well formed: an answer is not lost for it, only not remembered.
    """

    __slots__ = ("_room", "_sum", "_turn")

    def __init__(self) -> None:
        self._turn: list[_Text | _Thought | Block | str] = []
        self._room = MOST
        self._sum = 0

    def text(self, words: str, *, begins: bool = False) -> None:
        """A piece of the answer's text."""
        last = self._turn[-1] if self._turn and not begins else None
        if type(last) is not _Text:
            last = _Text()
            self._begin(last)
        last.length += len(words)
        self._sum = _checksum(words, self._sum)

    def thought(self, words: str, signature: Any) -> None:
        """A thought begins."""
        signed = _string(signature)
        self._begin(_Thought(words, signed), len(words) + len(signed))

    def thinks(self, words: str) -> None:
        """A piece of the thought begun last."""
        last = self._turn[-1] if self._turn else None
        if type(last) is _Thought and self._fits(len(words)):
            last.words.append(words)

    def signs(self, signature: Any) -> None:
        """A piece of its signature."""
        last = self._turn[-1] if self._turn else None
        signed = _string(signature)
        if type(last) is _Thought and self._fits(len(signed)):
            last.signature.append(signed)

    def hidden(self, data: Any) -> None:
        """A thought that the upstream shows nobody."""
        sealed = _string(data)
        self._begin({"type": "redacted_thinking", "data": sealed}, len(sealed))

    def call(self, made: str) -> None:
        """A call that the caller is given, under this id."""
        self._begin(made, len(made))

    def memories(self) -> tuple[Memory, ...]:
        """What to keep: nothing without calls, without thoughts, or if a thought is not signed."""
        calls = tuple(part for part in self._turn if isinstance(part, str))
        turn = [_written(part) for part in self._turn]
        thoughts = [part for part in turn if isinstance(part, dict)]
        if not calls or not thoughts or not all(_is_signed(thought) for thought in thoughts):
            return ()
        state = dumps({"text": self._sum, "turn": turn})
        return (Memory(calls, state),) if len(state) <= MOST else ()

    def _begin(self, part: _Text | _Thought | Block | str, size: int = 0) -> None:
        if self._fits(size + _PART):
            self._turn.append(part)

    def _fits(self, size: int) -> bool:
        """Whether so much more can be kept; if not, all is let go at once: half of it is worth nothing."""
        self._room -= size
        if self._room < 0:
            self._turn.clear()
        return self._room >= 0


def _written(part: _Text | _Thought | Block | str) -> Block | int | str:
    """A part as the state has it."""
    if isinstance(part, _Text):
        return part.length
    return part.block() if isinstance(part, _Thought) else part


def rebuild(state: bytes, text: str, said: list[Block], calls: Mapping[str, Block]) -> list[Block] | None:
    """The turn as the model gave it; None if it is not the one that was kept.

    `text` is what the caller sends back of the text and `said` its blocks; `calls` are the blocks of
    its calls by the caller's ids. Where the text was edited the thoughts stand before it.
    """
    kept = loads(state)
    turn: list[Block | int | str] = kept["turn"]
    if [part for part in turn if isinstance(part, str)] != list(calls):
        return None
    length = sum(part for part in turn if isinstance(part, int))
    if length != len(text) or kept["text"] != _checksum(text, 0):
        return [*(part for part in turn if isinstance(part, dict)), *said, *calls.values()]
    blocks: list[Block] = []
    at = 0
    for part in turn:
        if isinstance(part, dict):
            blocks.append(part)
        elif isinstance(part, str):
            blocks.append(calls[part])
        else:
            words, at = text[at : at + part], at + part
            blocks += [text_block(words)] if words.strip() else []
    _mark_as(said, blocks)
    return blocks


def _mark_as(said: list[Block], blocks: list[Block]) -> None:
    """The caller's cache breakpoint in the text, at the end of the text as it is divided now."""
    marks = [block["cache_control"] for block in said if "cache_control" in block]
    texts = [block for block in blocks if block["type"] == "text"]
    if marks and texts:
        texts[-1]["cache_control"] = marks[-1]


def echoed(given: Any) -> list[Block]:
    """Thoughts that a caller sends back itself (`thinking_blocks`); none unless all of them are whole."""
    blocks = [_echo(block) for block in given] if isinstance(given, list) else []
    return [block for block in blocks if block is not None] if None not in blocks else []


def _echo(given: Any) -> Block | None:
    """One of them, in exactly the members that the wire takes."""
    kind = given.get("type") if isinstance(given, dict) else None
    names = _MEMBERS.get(kind, ()) if isinstance(kind, str) else ()
    block: Block = {"type": kind, **{name: given.get(name) for name in names}}
    return block if names and _is_signed(block) else None


def _is_signed(block: Block) -> bool:
    """Whether a thought has what the upstream knows it by; its words may be empty, for some are not shown."""
    *words, proof = (block[name] for name in _MEMBERS[block["type"]])
    return isinstance(proof, str) and proof != "" and all(isinstance(word, str) for word in words)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _checksum(words: str, before: int) -> int:
    """Of text, running: enough to notice an edit, and cheap enough for every chunk."""
    return crc32(words.encode("utf-8", "surrogatepass"), before)
