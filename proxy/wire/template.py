"""What the plain pieces of one streamed answer have in common: all of an event but its text.

Token after token an upstream sends the same bytes around another text. `openai_stream.py` has a template
made of one event that it has read and passed on unchanged; what fits it afterwards is such an event again,
and only its text is parsed. It must never take anything else for one: what does not fit to the byte, or
has no sound JSON string where the text was, is nobody's here, and is read in full.

    data: {"id":"c1", … "choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}], … }
    └──────────────────────────── head ─────────────────────────┘     └── tail ───────────────────┘

Padding that hides the length of the text is a second string that changes, with `between` before it.
"""

from typing import Any

import orjson

from proxy.wire.counts import size
from proxy.wire.sse import MAX_EVENT

_DATA = b"data: "
_TEXT = b'"content":"'
_PADDING = b'"obfuscation":"'
_QUOTE = b'"'
_MORE = b" and more"
"""Makes a text into another."""


class Template:
    """All but the text of a plain piece."""

    __slots__ = ("_before", "_between", "_head", "_tail")

    def __init__(self, head: bytes, between: bytes, tail: bytes) -> None:
        self._head = head
        self._between = between
        """What is between the text and the padding, with their quotes; empty where there is no padding."""
        self._tail = tail
        self._before = len(head) - len(_QUOTE)

    def texts(self, data: bytes) -> tuple[int, int] | None:
        """(bytes of text, pieces) if `data` is nothing but whole events like this one; None if it is not."""
        tail = self._tail
        if not data.endswith(tail) or len(data) > MAX_EVENT:
            return None
        head, between, before = self._head, self._between, self._before
        blocks = data.split(tail)
        blocks.pop()
        spoken = 0
        for block in blocks:
            if not block.startswith(head):
                return None
            string = block[before:]
            if between:
                string, found, padding = string.partition(between)
                if not found or not padding.isalnum():
                    return None
            try:
                text = orjson.loads(string + _QUOTE)
            except ValueError:
                return None
            if not text:
                return None
            spoken += size(text)
        return spoken, len(blocks)


def template_of(raw: bytes, chunk: dict[str, Any]) -> Template | None:
    """The template of an event that was read as `chunk` and went out as it is, if that is a plain piece."""
    head, mark, rest = raw.partition(_TEXT)
    text, quote, tail = rest.partition(_QUOTE)
    if not quote or not _plain(chunk):
        return None
    head, tail, between, padding = head + mark, quote + tail, b"", b""
    before, mark, rest = tail.partition(_PADDING)
    if mark:
        padding, quote, tail = rest.partition(_QUOTE)
        between, tail = before + mark, quote + tail
    try:
        other = orjson.loads((head + text + _MORE + between + padding + tail).removeprefix(_DATA))
    except ValueError:
        return None
    # The bytes between the two quotes are the text, and nothing else: with them it changes, and only it.
    expected = text.decode() + _MORE.decode()
    if _text(chunk) != text.decode() or _text(other) != expected:
        return None
    return Template(head, between, tail)


def _plain(chunk: dict[str, Any]) -> bool:
    """Whether it brings nothing but a text, of one choice."""
    first, *others = chunk["choices"]
    more = any(value for name, value in first["delta"].items() if name != "content")
    return not others and not more and first.get("finish_reason") is None


def _text(chunk: dict[str, Any]) -> Any:
    return chunk["choices"][0]["delta"].get("content")
