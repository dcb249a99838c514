"""What the plain pieces of one streamed answer have in common: all of an event but its text.

Token after token an upstream sends the same bytes around another text. `openai_stream.py` has a template
made of one event that it has read and passed on unchanged; what fits it afterwards is such an event again,
and only its text is parsed. It must never take anything else for one: what does not fit to the byte, or
has no sound JSON string where the text was, is nobody's here, and is read in full.

    data: {"id":"c1", … "choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}], … }
    └──────────────────────────── head ─────────────────────────┘     └── tail ───────────────────┘

Between two texts of one read stands the seam: the one's tail and the other's head. Padding that hides the
length of the text is a second string that changes, with `between` before it.
"""

from typing import Any

import orjson

from proxy.wire.counts import Tally, size
from proxy.wire.sse import MAX_EVENT

NULL_USAGE = b',"usage":null'
"""An empty count. Outside a string it can be nothing else, and inside one its quotes are escaped."""
_DATA = b"data: "
_TEXT = b'"content":"'
_PADDING = b'"obfuscation":"'
_QUOTE = b'"'
_MORE = b" and more"
"""Makes a text into another."""


class Template:
    """All but the text of a plain piece."""

    __slots__ = ("_after", "_before", "_between", "_head", "_seam", "_shortens", "_tail")

    def __init__(self, head: bytes, between: bytes, tail: bytes, *, shortens: bool) -> None:
        """`head` and `tail` with the quotes of the string that changes."""
        self._head = head
        self._between = between
        """What is between the text and the padding, with their quotes; empty where there is no padding."""
        self._tail = tail
        self._seam = tail.removeprefix(_QUOTE) + head.removesuffix(_QUOTE)
        self._before = len(head) - len(_QUOTE)
        self._after = len(_QUOTE) - len(tail)
        self._shortens = shortens
        """Whether such a piece has an empty count that its caller does not get."""

    def take(self, data: bytes, tally: Tally) -> bytes:
        """What goes out if `data` is nothing but whole events like this one, noted; nothing if it is not."""
        if not data.startswith(self._head) or not data.endswith(self._tail) or len(data) > MAX_EVENT:
            return b""
        strings = data[self._before : self._after].split(self._seam)
        between = self._between
        spoken = 0
        for string in strings:
            if between:
                opened, _, padding = string.partition(between)
                if not padding.endswith(_QUOTE) or not padding[:-1].isalnum():
                    return b""
                string = opened + _QUOTE  # noqa: PLW2901  # the text alone
            try:
                text = orjson.loads(string)
            except ValueError:
                return b""
            # A seam is without its quotes, and white space beside a text is no fault to JSON.
            if type(text) is not str or not text or not string[0] == string[-1] == _QUOTE[0]:
                return b""
            spoken += len(text) if text.isascii() else size(text)
        tally.output_bytes += spoken
        tally.pieces += len(strings)
        return data.replace(NULL_USAGE, b"") if self._shortens else data


def template_of(raw: bytes, chunk: dict[str, Any], *, shortens: bool) -> Template | None:
    """The template of an event that was read as `chunk` and needed no repair, if that is a plain piece."""
    head, mark, rest = raw.partition(_TEXT)
    text, quote, tail = rest.partition(_QUOTE)
    if not quote or not _is_plain(chunk):
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
    said = text.decode()
    if _delta(chunk).get("content") != said or _delta(other).get("content") != said + _MORE.decode():
        return None
    return Template(head, between, tail, shortens=shortens)


def _is_plain(chunk: dict[str, Any]) -> bool:
    """Whether it brings nothing but a text, of one choice."""
    choices = chunk["choices"]
    delta = _delta(chunk)
    if len(choices) > 1 or choices[0].get("finish_reason") is not None or "x_groq" in chunk:
        return False  # what a service says of itself may hold a count
    return len(delta) == 1 or not any(value for name, value in delta.items() if name != "content")


def _delta(chunk: dict[str, Any]) -> dict[str, Any]:
    delta: dict[str, Any] = chunk["choices"][0]["delta"]
    return delta
