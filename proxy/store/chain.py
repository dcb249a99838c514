"""How audit rows are chained, and how their hashes become Merkle roots: the arithmetic of proof.

Every row carries the hash of the one before it and its own, over every column that it has. After
RFC 6962 the hash of a row and the hash of two hashes begin with different bytes, so that neither
can pass for the other. Used by the writer, by heads and by `verify.py`; pure, and part of the file
format: what is changed here makes every ledger written before invalid.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from struct import pack

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


def canonical(values: Sequence[Value]) -> bytes:
    """Values as bytes, in one way only: what they are, all numbers and lengths, then all texts.

    A letter a value (`i` an integer, `t` a text, `-` NULL; not written at the end) and a line feed;
    then for each that is not NULL 64 signed bits, big-endian: the integer, or the text's length in
    bytes of UTF-8; then the texts. Lengths first, so that no text can imitate its neighbour.
    """
    try:
        kinds = "".join([_KINDS[value.__class__] for value in values])
    except KeyError:
        raise TypeError("neither a whole number nor text") from None
    texts = [value.encode() for value in values if value.__class__ is str]
    lengths = map(len, texts)
    numbers = [value if value.__class__ is int else next(lengths) for value in values if value is not None]
    return b"%b\n%b%b" % (kinds.rstrip("-").encode(), pack(f">{len(numbers)}q", *numbers), b"".join(texts))


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
