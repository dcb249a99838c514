"""Whether the ledger is what it was: every row against its hash, every hash against roots and heads.

`fallthrough ledger verify` calls it, beside a running proxy too: rows are read a slice at a time, so
that no long transaction holds up checkpoints, and the working tables with the last slice. Where rows
were pruned it begins with the stub, and begins anew if one is pruned meanwhile. Whoever wants it from
another hand runs `tools/verify_ledger.py`, which shares no code with this.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from msgspec import Struct

from proxy.place import Place
from proxy.store.chain import COLUMNS, GENESIS, SEGMENT_ROWS, Frontier, Link, leaf, segment_root
from proxy.store.fault import Unreadable
from proxy.store.heads import Head, Unread
from proxy.store.reader import Reader, open_reader
from proxy.store.replay import SLICE_ROWS, Replay, tables
from proxy.store.seal import PublicKey
from proxy.store.stub import Stub, read_past, read_roots, read_stub

FAULTS_MAX = 100
"""More are counted, not told."""

SLICE = f"SELECT {', '.join(COLUMNS)}, prev, hash FROM rows WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608

KEYS = tuple(COLUMNS.index(name) for name in ("seq", "epoch", "kind", "call_id", "entries"))


class Verdict(Struct, frozen=True):
    """What was found. No faults: every row is what it was when it was written."""

    rows: int
    pruned: int
    """How many of them a stub stands for."""
    hash: str
    """Of the last row: with `rows` a head to keep elsewhere and ask for the next time."""
    segments: int
    heads: int
    signed: bool
    """Whether signatures of heads could be checked."""
    faults: tuple[str, ...]
    more: int
    """Faults not told."""


class Trace:
    """The chain as read so far, and everything about it that did not fit."""

    def __init__(self, told: Sequence[Head | Unread], anchored: Link | None, key: PublicKey | None) -> None:
        self.link = GENESIS
        self.segments = 0
        self.faults: list[str] = []
        self.more = 0
        self._leaves: list[bytes] = []
        self._frontier = Frontier()
        self._heads = deque(self._sound_heads(told, key))
        self._anchored = anchored

    def fault(self, words: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(words)
        else:
            self.more += 1

    def begin(self, stub: Stub, roots: list[bytes], key: PublicKey | None) -> None:
        """Start after a stub: its rows are gone, the roots of their segments are not."""
        if key and not stub.signed_by(key):
            self.fault(f"the stub is not signed by key {key.key_id}")
        for root in roots:
            self._pass_old_heads(stub)
            self._frontier.add(root)
        self.link, self.segments = stub.link, len(roots)
        if self._frontier.root() != stub.root or stub.size != len(roots) * SEGMENT_ROWS:
            self.fault("the roots of the pruned segments are not those that the stub stands for")
        self._pass_old_heads(stub)
        if self._anchored and self._anchored.seq <= stub.size:
            if self._anchored.seq < stub.size:
                self.fault(
                    f"row {self._anchored.seq}, which the head given is of, was pruned: give a later one"
                )
            elif self._anchored.hash != stub.hash:
                self.fault(f"row {stub.size} did not have the hash of the head given: it was rewritten")
            self._anchored = None

    def row(self, values: tuple[Any, ...], roots: dict[int, bytes]) -> None:
        """The next row; it is held to what it says of itself, so that one change is one fault."""
        seq, prev, own = values[0], values[-2], values[-1]
        if seq != self.link.seq + 1:
            self.fault(f"row {self.link.seq + 1} is missing: row {seq} follows row {self.link.seq}")
        if prev != self.link.hash:
            self.fault(f"row {seq} does not follow the row before it: one of them was put here or changed")
        try:
            if own != leaf(prev, values[:-2]):
                self.fault(f"row {seq} is not what was written: its hash does not fit")
        except (TypeError, ValueError):
            self.fault(f"row {seq} holds what no row may hold")
        self.link = Link(seq, own)
        self._leaves.append(own)
        if seq % SEGMENT_ROWS == 0:
            self._segment(seq // SEGMENT_ROWS, roots)
        if self._heads and self._heads[0].size <= seq:
            self._pass_heads()
        if self._anchored and self._anchored.seq == seq:
            if self._anchored.hash != own:
                self.fault(
                    f"row {seq} does not have the hash of the head given: it or one before was rewritten"
                )
            self._anchored = None

    def end(self) -> None:
        """No more rows: what is still waiting for one was cut off."""
        for head in self._heads:
            self.fault(f"cut short: it ends at row {self.link.seq}, a head says {head.size}")
        if self._anchored:
            self.fault(f"cut short: it ends at row {self.link.seq}, the head given says {self._anchored.seq}")

    def _segment(self, number: int, roots: dict[int, bytes]) -> None:
        leaves, self._leaves = self._leaves, []
        found = roots.get(number)
        self.segments += 1
        whole = len(leaves) == SEGMENT_ROWS and all(isinstance(each, bytes) for each in leaves)
        root = segment_root(leaves) if whole else None
        if found is None or found != root:
            self.fault(
                f"segment {number}: its root {'is missing' if found is None else 'does not fit its rows'}"
            )
        self._frontier.add(root or found or bytes(32))

    def _pass_heads(self) -> None:
        root = self._frontier.root()
        while self._heads and self._heads[0].size <= self.link.seq:
            head = self._heads.popleft()
            if (head.size, head.hash) != (self.link.seq, self.link.hash.hex()):
                self.fault(
                    f"row {head.size} does not have the hash of its head: it or one before was rewritten"
                )
            elif head.root != (root.hex() if root else None):
                self.fault(f"the head of row {head.size} has another root than the segments before it")

    def _pass_old_heads(self, stub: Stub) -> None:
        """Heads of rows that are gone: only their roots are left to compare, and the hash of the last."""
        root = self._frontier.root()
        while self._heads and self._heads[0].size // SEGMENT_ROWS <= self._frontier.count:
            head = self._heads[0]
            if head.size > stub.size:
                return
            self._heads.popleft()
            if head.root != (root.hex() if root else None):
                self.fault(f"the head of row {head.size} has another root than the segments before it")
            elif head.size == stub.size and head.hash != stub.hash.hex():
                self.fault(f"the head of row {head.size} has another hash than the stub")

    def _sound_heads(self, told: Sequence[Head | Unread], key: PublicKey | None) -> list[Head]:
        sound: list[Head] = []
        for number, head in enumerate(told, 1):
            if isinstance(head, Unread):
                self.fault(f"heads file, line {number}: this is no head")
            elif key and not head.signed_by(key):
                self.fault(f"heads file, line {number}: not signed by key {key.key_id}")
            elif sound and head.size < sound[-1].size:
                self.fault(f"heads file, line {number}: out of order")
            else:
                sound.append(head)
        return sound


class _Moved(Exception):
    """Rows were pruned while they were read."""


def verify(place: Place, *, public_key: PublicKey | None = None, anchored: Link | None = None) -> Verdict:
    """Read everything once. `anchored` is a head kept elsewhere; `public_key` checks signatures.

    Raises `StoreRefused` where there is nothing of ours to read.
    """
    while True:
        try:
            with closing(open_reader(place)) as reader:
                return _verify(reader, public_key, anchored)
        except _Moved:
            continue


def _verify(reader: Reader, key: PublicKey | None, anchored: Link | None) -> Verdict:
    told = reader.heads()  # before the rows, so that none is ahead of them
    trace, replay, stub = Trace(told, anchored, key), Replay(), None
    try:
        stub = _begin(reader, trace, replay, key)
        while _slice(reader, trace, replay, stub):
            pass
        trace.end()
    except Unreadable as error:
        trace.fault(f"after row {trace.link.seq}: the file is damaged ({error.reason})")
    for fault in replay.faults:
        trace.fault(fault)
    return Verdict(
        rows=trace.link.seq,
        pruned=stub.size if stub else 0,
        hash=trace.link.hash.hex(),
        segments=trace.segments,
        heads=len(told),
        signed=key is not None and bool(told),
        faults=tuple(trace.faults),
        more=trace.more,
    )


def _begin(reader: Reader, trace: Trace, replay: Replay, key: PublicKey | None) -> Stub | None:
    reader.begin()
    stub = read_stub(reader)
    if stub is not None:
        trace.begin(stub, read_roots(reader, stub.size // SEGMENT_ROWS) or [], key)
        replay.carry(stub.size, read_past(reader))
    reader.end()
    return stub


def _slice(reader: Reader, trace: Trace, replay: Replay, stub: Stub | None) -> bool:
    """Read on; the last slice ends with the working tables, as they were with its last row."""
    reader.begin()
    if read_stub(reader) != stub:
        raise _Moved
    after = trace.link.seq
    low, high = after // SEGMENT_ROWS, (after + SLICE_ROWS) // SEGMENT_ROWS + 1
    within = "SELECT number, root FROM segments WHERE number BETWEEN ? AND ?"
    roots: dict[int, bytes] = dict(tuple(pair) for pair in reader.select(within, low, high))
    count = 0
    seq, epoch, kind, call_id, entries = KEYS
    for values in reader.select(SLICE, after, SLICE_ROWS):
        count += 1
        trace.row(values, roots)
        replay.row(values[seq], values[epoch], values[kind], values[call_id], values[entries])
    if count < SLICE_ROWS:
        replay.faults += tables(reader, replay)
        kept = reader.kept_end()
        if kept not in (None, trace.link):
            trace.fault(f"it ends at row {trace.link.seq}, and not as is kept of its end: row {kept.seq}")
    reader.end()
    return count == SLICE_ROWS
