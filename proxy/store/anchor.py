"""When heads are told, and what the start makes of the last one.

The writer asks after every batch whether a head is due: after so many rows, or so many seconds. A
start compares the file with the last head and refuses one that was rolled back, cut short or
rewritten since. It reads the rows from that head on, however long the ledger is; `verify.py` reads all.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import apsw

from proxy.ports import Clock
from proxy.store import heads
from proxy.store.chain import COLUMNS, SEGMENT_ROWS, Frontier, Link, leaf
from proxy.store.fault import StoreRefused
from proxy.store.heads import Head, Seal, Unread
from proxy.store.rows import last

log = logging.getLogger("proxy.ledger")

SINCE = f"SELECT {', '.join(COLUMNS)}, prev, hash FROM rows WHERE seq >= ? ORDER BY seq"  # noqa: S608

ROOTS = "SELECT root FROM segments WHERE number > ? AND number <= ? ORDER BY number"


@dataclass(frozen=True, slots=True)
class Cadence:
    """How far apart heads may be: what is younger than the last one can be cut off unseen."""

    rows: int = 4096
    seconds: float = 30.0


class Anchor:
    """The heads of one ledger, on behalf of its writer."""

    def __init__(self, path: Path, seal: Seal | None, clock: Clock, cadence: Cadence) -> None:
        self._path = path
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

    def tell(self, connection: apsw.Connection, tail: Link, epoch: int) -> None:
        """Tell a head of durable rows. A file that does not take it is tried again with the next batch."""
        if self.covers(tail.seq):
            return
        now_s = self._clock.mono()
        try:
            self._advance(connection, tail.seq)
            head = self._sign(tail, epoch)
            heads.append(self._path, head)
        except (OSError, apsw.Error) as error:
            if not self._failing:
                log.warning("the ledger's head could not be kept: %s", error)
            self._failing = True
            return
        self._failing, self._size, self._told_s = False, tail.seq, now_s
        facts = {field: getattr(head, field) for field in heads.FIELDS}
        log.info("ledger head", extra=facts | {"mac": head.mac})

    def compare(self, connection: apsw.Connection) -> None:
        """Refuse a ledger that is not what its last head says it was. Raises `StoreRefused`."""
        head, tail = heads.newest(self._path), last(connection)
        if head is None:
            if tail.seq:
                log.warning(
                    "no head of this ledger is at hand, so nothing shows whether it was rolled back;"
                    " heads begin now, in %s",
                    heads.heads_path(self._path).name,
                )
            return
        if isinstance(head, Unread) or (self._seal is not None and not self._seal.signed(head)):
            problem = "the last head beside it is not signed by the key in keys.db"
            remedy = "bring back the keys.db and the heads file that belong to it"
            raise StoreRefused(self._path, problem, f"{remedy}, or {self._move_away()}")
        try:
            self._trace(connection, head, tail)
        except (TypeError, ValueError):
            self._refuse(f"a row after row {head.size - 1} holds what no row may hold")
        self._size = head.size

    def _trace(self, connection: apsw.Connection, head: Head, tail: Link) -> None:
        if tail.seq < head.size:
            self._refuse(
                f"it was rolled back or cut short: it ends at row {tail.seq}, its head says {head.size}"
            )
        if connection.execute("SELECT epoch FROM state").get < head.epoch:
            self._refuse("it was rolled back: its head was told by a later process")
        before = None
        for *values, prev, own in connection.execute(SINCE, (head.size,)):
            if prev != (before or prev) or own != leaf(prev, values):
                self._refuse(f"row {values[0]} was rewritten, or is not the proxy's")
            if before is None and (values[0], own.hex()) != (head.size, head.hash):
                self._refuse(f"it was rewritten at or before row {head.size}")
            before = own
        self._advance(connection, head.size)
        root = self._frontier.root()
        if (root and root.hex()) != head.root:
            self._refuse("its segments' roots were rewritten")

    def _advance(self, connection: apsw.Connection, size: int) -> None:
        for (root,) in connection.execute(ROOTS, (self._frontier.count, size // SEGMENT_ROWS)):
            self._frontier.add(root)

    def _sign(self, tail: Link, epoch: int) -> Head:
        root, seal = self._frontier.root(), self._seal
        key_id = seal.key_id if seal else None
        bare = (tail.seq, tail.hash.hex(), root.hex() if root else None, self._clock.wall_us(), epoch, key_id)
        return Head(*bare, mac=seal.mac(Head(*bare, mac=None)) if seal else None)

    def _refuse(self, problem: str) -> None:
        remedy = f"restore the newest backup, or, to go on with this file knowingly, {self._move_away()}"
        raise StoreRefused(self._path, problem, remedy)

    def _move_away(self) -> str:
        return f"move {heads.heads_path(self._path).name} away"
