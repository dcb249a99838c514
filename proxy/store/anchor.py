"""When heads are told, and what the start makes of the last one.

The writer asks after every batch whether a head is due: after so many rows, or so many seconds. A
start compares the file with the last head and refuses one that was rolled back, cut short or
rewritten since, and one with a stub that its rows do not know of. It reads the rows from that head on,
however long the ledger is; `verify.py` reads all.
"""

import logging
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from proxy.ports import Clock
from proxy.store import heads
from proxy.store.chain import COLUMNS, SEGMENT_ROWS, Frontier, Link, leaf
from proxy.store.fault import StoreRefused, Unreadable
from proxy.store.heads import Head, Unread
from proxy.store.reader import Reader, only
from proxy.store.seal import Seal
from proxy.store.strays import strays
from proxy.store.stub import read_stub, unproved

log = logging.getLogger("proxy.ledger")

SINCE = f"SELECT {', '.join(COLUMNS)}, prev, hash FROM rows WHERE seq >= ? ORDER BY seq"  # noqa: S608

ROOTS = "SELECT root FROM segments WHERE number > ? AND number <= ? ORDER BY number"


class Cadence(Struct, frozen=True):
    """How far apart heads may be: what is younger than the last one can be cut off unseen."""

    rows: int = 4096
    seconds: float = 30.0


OFTEN = Cadence()


class Shelf(Struct, frozen=True):
    """Where heads are kept with a ledger."""

    keep: Callable[[Head], None]
    """Makes one durable."""
    name: str
    put_away: str
    """What an operator does who would go on without them."""


class Anchor:
    """The heads of one ledger, on behalf of its writer."""

    def __init__(self, shelf: Shelf, seal: Seal | None, clock: Clock, cadence: Cadence = OFTEN) -> None:
        self._shelf = shelf
        self._seal = seal
        self._clock = clock
        self._cadence = cadence
        self._size = 0
        """Rows that the last head covers."""
        self._told_s = clock.mono()
        self._frontier = Frontier()
        self._failing = False

    def covers(self, rows: int) -> bool:
        """Whether the last head told of everything there is."""
        return rows <= self._size

    def due(self, rows: int) -> bool:
        if self.covers(rows):
            return False
        late = self._clock.mono() - self._told_s >= self._cadence.seconds
        return late or rows - self._size >= self._cadence.rows

    def tell(self, reader: Reader, tail: Link, epoch: int) -> None:
        """Tell a head of durable rows. A file that does not take it is tried again with the next batch."""
        if self.covers(tail.seq):
            return
        now_s = self._clock.mono()
        try:
            self._advance(reader, tail.seq)
            head = self._sign(tail, epoch)
            self._shelf.keep(head)
        except (OSError, Unreadable) as error:
            if not self._failing:
                log.warning("the ledger's head could not be kept: %s", error)
            self._failing = True
            return
        self._failing, self._size, self._told_s = False, tail.seq, now_s
        facts = {field: getattr(head, field) for field in heads.FIELDS}
        log.info("ledger head", extra=facts | {"signature": head.signature})

    def compare(self, reader: Reader, tail: Link) -> None:
        """Refuse a ledger that is not what its last head and `prune` row say it was. Raises `StoreRefused`.

        Tells first which key the heads are signed with: a log kept elsewhere then holds what checks them.
        """
        if self._seal is not None:
            key = self._seal.public_key
            log.info("ledger public key", extra={"key_id": key.key_id, "public_key": key.hex})
        head = reader.newest_head()
        if head is not None:
            self._compare_head(reader, head, tail)
        elif tail.seq:
            log.warning(
                "no head of this ledger is at hand, so nothing shows whether it was rolled back;"
                " heads begin now, in %s",
                self._shelf.name,
            )
        for stray in strays(reader):
            raise StoreRefused(reader.place, stray, "take that out, or restore the newest backup")
        wrong = unproved(reader, read_stub(reader))
        if wrong:
            raise StoreRefused(reader.place, wrong, "restore the newest backup")

    def _compare_head(self, reader: Reader, head: Head | Unread, tail: Link) -> None:
        """Refuse a ledger that its last head does not fit."""
        place = reader.place
        if isinstance(head, Unread) or (self._seal is not None and not head.signed_by(self._seal.public_key)):
            problem = "the last head beside it is not signed by the key in keys.db"
            remedy = "bring back the keys.db and the heads file that belong to it"
            raise StoreRefused(place, problem, f"{remedy}, or {self._shelf.put_away}")
        try:
            wrong = self._trace(reader, head, tail)
        except (TypeError, ValueError):
            wrong = f"a row after row {head.size - 1} holds what no row may hold"
        if wrong:
            remedy = f"restore the newest backup, or, to go on with it knowingly, {self._shelf.put_away}"
            raise StoreRefused(place, wrong, remedy)
        self._size = head.size

    def _trace(self, reader: Reader, head: Head, tail: Link) -> str | None:
        """What is wrong with the rows since the last head."""
        if tail.seq < head.size:
            return f"it was rolled back or cut short: it ends at row {tail.seq}, its head says {head.size}"
        if only(reader.select("SELECT epoch FROM state WHERE id = 1")) < head.epoch:
            return "it was rolled back: its head was told by a later process"
        before = None
        for *values, prev, own in reader.select(SINCE, head.size):
            if prev != (before or prev) or own != leaf(prev, values):
                return f"row {values[0]} was rewritten, or is not the proxy's"
            if before is None and (values[0], own.hex()) != (head.size, head.hash):
                return f"it was rewritten at or before row {head.size}"
            before = own
        if before != tail.hash:
            return f"its last row is not row {tail.seq}, which is kept as its end"
        self._advance(reader, head.size)
        root = self._frontier.root()
        if (root and root.hex()) != head.root:
            return "its segments' roots were rewritten"
        return None

    def _advance(self, reader: Reader, size: int) -> None:
        for (root,) in reader.select(ROOTS, self._frontier.count, size // SEGMENT_ROWS):
            self._frontier.add(root)

    def _sign(self, tail: Link, epoch: int) -> Head:
        root, seal = self._frontier.root(), self._seal
        key_id = seal.public_key.key_id if seal else None
        bare = (tail.seq, tail.hash.hex(), root.hex() if root else None, self._clock.wall_us(), epoch, key_id)
        head = Head(*bare, signature=None)
        return replace(head, signature=seal.sign(head.signed_bytes())) if seal else head
