"""Pruning: whole segments of old rows are taken away, and a stub is left that stands for them.

In three steps, so that calls hardly notice however much there is to take. `plan` reads the old rows beside
the writer, holds each to its hash and all to the newest head, and sums up what they came to, so that
nothing is signed that does not verify; `settle_stub` moves the stub, in one transaction with the `prune`
row: from then on the rows are gone for every reader; `drop` deletes them a segment at a time. Killed in
between, the next pruning goes on: rows beneath the stub are only litter.
"""

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import astuple, replace

from proxy.place import Place
from proxy.ports import Act, Declined
from proxy.store.acts import row_of
from proxy.store.chain import COLUMNS, GENESIS, SEGMENT_ROWS, Link, Tree, leaf, segment_root
from proxy.store.fault import StoreRefused
from proxy.store.heads import Head
from proxy.store.journal import Journal
from proxy.store.reader import Reader, at_once, only, open_reader
from proxy.store.replay import Replay
from proxy.store.report import MEASURES, SETTLED
from proxy.store.seal import PublicKey, Seal
from proxy.store.strays import strays
from proxy.store.stub import (
    DAY_US,
    WINDOW_S,
    Stub,
    digest_kept,
    past_digest,
    read_past,
    read_roots,
    read_stub,
    unproved,
)
from proxy.store.tables import Tables

SEGMENT = f"SELECT {', '.join(COLUMNS)}, prev, hash FROM rows WHERE seq > ? AND seq <= ? ORDER BY seq"  # noqa: S608

USAGE = f"""
SELECT at_us / {DAY_US}, {MEASURES} FROM rows WHERE {SETTLED} AND seq > ? AND seq <= ? GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - our own words

OVER = """
SELECT scope, window_start, used FROM balances WHERE window_start < ? AND window_end <= ? AND held = 0
"""

OUTDATED = "rows were pruned meanwhile; prune once more"
NOTHING_DONE = "run `fallthrough ledger verify`; nothing was pruned"

Over = tuple[str, int, int]
"""Scope, window and use of a counter that need not be kept."""


class Plan(Struct, frozen=True):
    """What a pruning will come to."""

    stub: Stub
    """Not signed yet."""
    past: tuple[str, ...]
    over: tuple[Over, ...]
    rows: int
    """How many go, beyond those that went before."""
    after: int
    """How many had gone before."""


def plan(place: Place, act: Act, before_us: int, key: PublicKey | None = None) -> Plan | None:
    """What can be taken away of the rows older than a moment; None: not one whole segment.

    Reads for as long as it takes, beside the writer. Raises `StoreRefused` where the rows, or what is
    kept of those before, do not verify, `key` being what checks signatures, and `Declined` where rows went
    while they were read.
    """
    with closing(open_reader(place)) as reader:
        old = read_stub(reader)
        try:
            return _plan(_Reading(reader, old, key), act, before_us)
        except StoreRefused as error:
            if read_stub(reader) != old:
                raise Declined(OUTDATED) from error
            raise


def _plan(reading: "_Reading", act: Act, before_us: int) -> Plan | None:
    link = reading.begin()
    end = reading.reach()
    while link.seq + SEGMENT_ROWS <= end and reading.older(link.seq, before_us):
        link = reading.take(link)
    return None if link == reading.start else _planned(reading, link, act, before_us)


def settle_stub(journal: Journal, plan: Plan, act: Act, seal: Seal | None) -> None:
    """Put the stub in place of the rows, in one transaction with the row that says so.

    Raises `Declined`, before anything is written, where the plan is no longer true.
    """
    stub, tables = plan.stub, journal.tables
    if tables.noted(act.id):
        return
    _refuse_outdated(tables, plan)
    if seal is not None:
        stub = replace(stub, key_id=seal.public_key.key_id)
        stub = replace(stub, signature=seal.sign(stub.signed_bytes()))
    tables.append(row_of("prune", act, told=stub.entries()))
    tables.execute("DELETE FROM stub")
    tables.execute("INSERT INTO stub VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", *astuple(stub))
    tables.execute("DELETE FROM past")
    tables.execute_many("INSERT INTO past (what) VALUES (?)", [(line,) for line in plan.past])
    over = [(scope, window) for scope, window, _ in plan.over]
    for table in ("balances", "alerts"):
        sql = f"DELETE FROM {table} WHERE scope = ? AND window_start = ?"  # noqa: S608 - our own words
        tables.execute_many(sql, over)


def drop(journal: Journal) -> int:
    """Delete the oldest of the rows that the stub stands for, a segment's worth; how many there were."""
    [(first, size)] = journal.tables.select(
        "SELECT min(seq), (SELECT max(size) FROM stub WHERE id = 1) FROM rows"
    )
    if first is None or size is None or first > size:
        return 0
    return journal.tables.execute("DELETE FROM rows WHERE seq <= ?", min(first + SEGMENT_ROWS - 1, size))


def _refuse_outdated(tables: Tables, plan: Plan) -> None:
    if (only(tables.select("SELECT max(size) FROM stub WHERE id = 1")) or 0) != plan.after:
        raise Declined(OUTDATED)
    for scope, window, used in plan.over:
        if tables.look((scope, window)) != (used, 0):
            raise Declined(f"{scope} of {window} was over and is in use again; prune once more")


class _Reading:
    """The rows to be taken away, read a segment at a time, and what all that ever went came to."""

    def __init__(self, reader: Reader, old: Stub | None, key: PublicKey | None) -> None:
        self.replay = Replay()
        self.usage: dict[tuple[Any, ...], list[int]] = {}
        """Sums by day, tenant, model and upstream."""
        self.roots: list[bytes] = []
        """Of all segments that the newest head covers."""
        self.start = old.link if old else GENESIS
        self.reader = reader
        self._old = old
        self._key = key
        self._head: Head | None = None

    def begin(self) -> Link:
        """Believe what was kept before and what the newest head says, if they can be; where rows begin."""
        head = self.reader.newest_head()  # before the rows that it is of
        self._head = head if isinstance(head, Head) else None
        with at_once(self.reader):
            for wrong in (*strays(self.reader), unproved(self.reader, self._old), self._unsigned()):
                if wrong:
                    raise self._not_whole(wrong)
            if self._old and digest_kept(self.reader) != self._old.digest:
                raise self._not_whole("what is kept of pruned rows is not what the stub says")
            if self._head:
                self.roots = self._roots_of(self._head)
            self.replay.carry(self.start.seq, read_past(self.reader))
            for word, *values in read_past(self.reader):
                if word == "usage":
                    self.usage[tuple(values[:4])] = values[4:]
        return self.start

    def reach(self) -> int:
        """The last row that may go: before every open call, and before the head that a start looks for."""
        told = self._head.size - 1 if self._head else 0
        opened: int | None = only(self.reader.select("SELECT min(seq) - 1 FROM open_calls"))
        return told if opened is None else min(told, opened)

    def older(self, after: int, before_us: int) -> bool:
        """Whether every row of the segment after a row is older than a moment."""
        sql = "SELECT max(at_us) FROM rows WHERE seq > ? AND seq <= ?"
        newest: int | None = only(self.reader.select(sql, after, after + SEGMENT_ROWS))
        return newest is not None and newest < before_us

    def take(self, link: Link) -> Link:
        """Replay a segment, every row held to its hash and all to their root; its last row."""
        leaves: list[bytes] = []
        number, span = link.seq // SEGMENT_ROWS + 1, (link.seq, link.seq + SEGMENT_ROWS)
        names = tuple(COLUMNS.index(name) for name in ("seq", "epoch", "kind", "call_id", "entries"))
        with at_once(self.reader):  # what is summed up is what was held to its hash
            rows, sums = list(self.reader.select(SEGMENT, *span)), list(self.reader.select(USAGE, *span))
        for *values, prev, own in rows:
            if (values[0], prev) != (link.seq + 1, link.hash) or own != leaf(prev, values):
                raise self._not_whole(f"row {values[0]} is not what was written")
            seq, epoch, kind, call_id, entries = (values[at] for at in names)
            self.replay.row(seq, epoch, kind, call_id, entries)
            link = Link(seq, own)
            leaves.append(own)
        whole = len(leaves) == SEGMENT_ROWS and self.roots[number - 1] == segment_root(leaves)
        if self.replay.faults or not whole:
            raise self._not_whole(f"segment {number} does not have its root, or makes no sense")
        for row in sums:
            before = self.usage.get(row[:4], [0] * len(row[4:]))
            self.usage[row[:4]] = [one + more for one, more in zip(before, row[4:], strict=True)]
        return link

    def _unsigned(self) -> str | None:
        """What our key did not sign of that which a new signature would be built upon."""
        if self._key is None:
            return None
        for name, each in (("stub", self._old), ("newest head", self._head)):
            if each is not None and not each.signed_by(self._key):
                unsigned = f"the {name} is not signed by key {self._key.key_id}"
                return f"{unsigned}; bring back the keys.db that signed it"
        return None

    def _roots_of(self, head: Head) -> list[bytes]:
        roots = read_roots(self.reader, head.size // SEGMENT_ROWS)
        root = Tree(roots or ()).root
        if roots is None or head.root != (root and root.hex()):
            raise self._not_whole("its segments' roots are not those of its newest head")
        return roots

    def _not_whole(self, problem: str) -> StoreRefused:
        return StoreRefused(self.reader.place, problem, NOTHING_DONE)


def _planned(reading: _Reading, link: Link, act: Act, before_us: int) -> Plan:
    root = Tree(reading.roots[: link.seq // SEGMENT_ROWS]).root
    if root is None:
        raise AssertionError("a segment was taken, so there is one")
    over_s = before_us // 1_000_000 - WINDOW_S
    found = reading.reader.select(OVER, over_s, before_us // 1_000_000)
    over: tuple[Over, ...] = tuple((scope, window, used) for scope, window, used in found)
    lines = tuple(_lines(reading, {(scope, window) for scope, window, _ in over}))
    stub = Stub(link.seq, link.hash, root, before_us, act.at_us, past_digest(lines), None)
    return Plan(stub, lines, over, link.seq - reading.start.seq, reading.start.seq)


def _lines(reading: _Reading, over: set[tuple[str, int]]) -> Iterable[str]:
    """What the rows came to, in an order that depends on nothing else."""
    replay = reading.replay
    told: list[list[Any]] = [
        ["used", *counter, amount] for counter, amount in sorted(replay.used.items()) if counter not in over
    ]
    told += [["open", call, o.seq, o.epoch, o.claims] for call, o in sorted(replay.open.items())]
    told += [["alert", *alert] for alert in sorted(replay.alerts) if alert[:2] not in over]
    told += [["usage", *key, *sums] for key, sums in sorted(reading.usage.items())]
    return (orjson.dumps(each).decode() for each in told)
