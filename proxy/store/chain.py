"""How audit rows are chained, and how their hashes become Merkle roots: the arithmetic of proof.

Every row carries the hash of the one before it and its own, over every column that it has. After
RFC 6962 the hash of a row and the hash of two hashes begin with different bytes, so that neither
can pass for the other. Used by the writer, by heads and by `verify.py`; pure, and part of the file
format: what is changed here makes every ledger written before invalid.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple

from msgspec import Struct

LEAF, NODE = b"\x00", b"\x01"

SEGMENT_ROWS = 1024
"""Rows beneath one Merkle root. A power of two: the root over segments' roots is then the very root
that RFC 6962 gives the rows, and a row is proved by a path of hashes."""

COLUMNS = (
    *("seq", "at_us", "epoch", "kind", "call_id", "tenant", "key_id", "user_pseudonym", "model", "entries"),
    *("result", "status", "stream", "upstream", "upstream_model"),
    *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("source", "nano_usd", "first_ms", "total_ms", "attempts", "consent", "session_pseudonym"),
)
"""What a row's hash covers, in this order. New ones only at the end, and only such as may be NULL:
the rows before them stay valid."""

Value = int | str | None


class Link(Struct, frozen=True):
    """A row's place in the chain."""

    seq: int
    hash: bytes


_KINDS: Mapping[type, str] = {type(None): "-", int: "i", str: "t"}

GENESIS = Link(0, bytes(32))
"""Before the first row."""

LAYOUTS = 64
"""Shapes of rows whose layout is remembered; a ledger has a dozen or two."""


class _Layout(NamedTuple):
    """How values are written whose types are known, in a few calls into C instead of a loop over columns."""

    head: bytes
    pack: Callable[..., bytes]
    texts: Callable[[Sequence[Value]], Sequence[str]]
    numbers: Callable[[Sequence[Value]], Sequence[int]]
    """Of the values with the lengths of their texts behind them."""


@lru_cache(maxsize=LAYOUTS)
def _layout(*types: type) -> _Layout:
    """Raises `TypeError` where one of these cannot be in a row."""
    try:
        kinds = "".join([_KINDS[each] for each in types])
    except KeyError:
        raise TypeError("neither a whole number nor text") from None
    texts = [at for at, kind in enumerate(kinds) if kind == "t"]
    lengths = iter(range(len(kinds), len(kinds) + len(texts)))
    numbers = [at if kind == "i" else next(lengths) for at, kind in enumerate(kinds) if kind != "-"]
    head = kinds.rstrip("-").encode() + b"\n"
    return _Layout(head, struct.Struct(f">{len(numbers)}q").pack, _picker(texts), _picker(numbers))


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What takes the values at these places, as a tuple however few they are."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[at] for at in places)


def canonical(values: Sequence[Value]) -> bytes:
    """Values as bytes, in one way only: what they are, all numbers and lengths, then all texts.

    A letter a value (`i` an integer, `t` a text, `-` NULL; not written at the end) and a line feed;
    then for each that is not NULL 64 signed bits, big-endian: the integer, or the text's length in
    bytes of UTF-8; then the texts. Lengths first, so that no text can imitate its neighbour.
    """
    layout = _layout(*map(type, values))
    texts = layout.texts(values)
    whole = "".join(texts)
    told = whole.encode()
    plain = len(told) == len(whole)  # then a character is a byte
    lengths = map(len, texts) if plain else (len(text.encode()) for text in texts)
    return layout.head + layout.pack(*layout.numbers((*values, *lengths))) + told


def leaf(before: bytes, values: Sequence[Value]) -> bytes:
    """The hash of a row whose columns are `values`, after the row whose hash is `before`."""
    return sha256(LEAF + before + canonical(values)).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(NODE + left + right).digest()


def segment_root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle root over the hashes of one whole segment."""
    level = leaves
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(NODE + left + right).digest() for left, right in pairs]
    return level[0]


class Frontier:
    """The Merkle root over ever more hashes, from a few kept ones: the peaks of a growing range of hills."""

    def __init__(self) -> None:
        self.count = 0
        self._peaks: list[bytes] = []

    def add(self, root: bytes) -> None:
        self.count += 1
        self._peaks.append(root)
        merged = self.count
        while merged % 2 == 0:
            right = self._peaks.pop()
            self._peaks[-1] = node(self._peaks[-1], right)
            merged //= 2

    def root(self) -> bytes | None:
        """None where nothing was added."""
        if not self._peaks:
            return None
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node(peak, root)
        return root


class Tree:
    """The Merkle tree of RFC 6962 over hashes, whole in memory: its root, and the way from a leaf to it."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(level := self._levels[-1]) > 1:
            above = [node(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]
            self._levels.append(above + level[len(level) & ~1 :])  # one without a neighbour goes up as it is

    @property
    def root(self) -> bytes | None:
        """None where nothing is in it."""
        return self._levels[-1][0] if self._levels[0] else None

    def path(self, index: int) -> list[bytes]:
        """The neighbours on the way up from a leaf, which with it give the root."""
        found = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                found.append(level[index ^ 1])
            index //= 2
        return found
