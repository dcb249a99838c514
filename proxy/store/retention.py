"""Pruning: whole segments of old rows are taken away, and a stub is left that stands for them.

In three steps, so that calls hardly notice however much there is to take. `plan` reads the old rows
beside the writer, holds each to its hash, and sums up what they came to; `settle_stub` moves the stub, in one
transaction with the `prune` row: from then on the rows are gone for every reader; `drop` deletes them
a segment at a time. Killed in between, the next pruning goes on: rows beneath the stub are only litter.
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
from proxy.store.reader import Reader, only, open_reader
from proxy.store.replay import Replay
from proxy.store.report import MEASURES, SETTLED
from proxy.store.seal import Seal
from proxy.store.stub import DAY_US, WINDOW_S, Stub, past_digest, read_past, read_stub
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


def plan(place: Place, act: Act, before_us: int) -> Plan | None:
    """What can be taken away of the rows older than a moment; None: not one whole segment.

    Reads for as long as it takes, beside the writer. Raises `StoreRefused` where a row was changed, and
    `Declined` where rows went while they were read.
    """
    with closing(open_reader(place)) as reader:
        old = read_stub(reader)
        try:
            return _plan(reader, old, act, before_us)
        except StoreRefused as error:
            if read_stub(reader) != old:
                raise Declined(OUTDATED) from error
            raise


def _plan(reader: Reader, old: Stub | None, act: Act, before_us: int) -> Plan | None:
    link, reading = old.link if old else GENESIS, _Reading(reader)
    reading.replay.carry(read_past(reader))
    end = _reach(reader)
    while link.seq + SEGMENT_ROWS <= end and reading.older(link.seq, before_us):
        link = reading.take(link)
    if link.seq == (old.size if old else 0):
        return None
    return _planned(reader, reading, (old.size if old else 0, link), act, before_us)


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
    [(first, size)] = journal.tables.select("SELECT min(seq), (SELECT max(size) FROM stub) FROM rows")
    if first is None or size is None or first > size:
        return 0
    return journal.tables.execute("DELETE FROM rows WHERE seq <= ?", min(first + SEGMENT_ROWS - 1, size))


def _refuse_outdated(tables: Tables, plan: Plan) -> None:
    if (only(tables.select("SELECT max(size) FROM stub")) or 0) != plan.after:
        raise Declined(OUTDATED)
    for scope, window, used in plan.over:
        if tables.look((scope, window)) != (used, 0):
            raise Declined(f"{scope} of {window} was over and is in use again; prune once more")


class _Reading:
    """The rows to be taken away, read a segment at a time."""

    def __init__(self, reader: Reader) -> None:
        self.replay = Replay()
        self._reader = reader

    def older(self, after: int, before_us: int) -> bool:
        """Whether every row of the segment after a row is older than a moment."""
        sql = "SELECT max(at_us) FROM rows WHERE seq > ? AND seq <= ?"
        newest: int | None = only(self._reader.select(sql, after, after + SEGMENT_ROWS))
        return newest is not None and newest < before_us

    def take(self, link: Link) -> Link:
        """Replay a segment, every row held to its hash and all to their root; its last row."""
        leaves: list[bytes] = []
        number = link.seq // SEGMENT_ROWS + 1
        names = tuple(COLUMNS.index(name) for name in ("seq", "epoch", "kind", "call_id", "entries"))
        for *values, prev, own in self._reader.select(SEGMENT, link.seq, link.seq + SEGMENT_ROWS):
            if (values[0], prev) != (link.seq + 1, link.hash) or own != leaf(prev, values):
                raise self._not_whole(f"row {values[0]} is not what was written")
            seq, epoch, kind, call_id, entries = (values[at] for at in names)
            self.replay.row(seq, epoch, kind, call_id, entries)
            link = Link(seq, own)
            leaves.append(own)
        root = only(self._reader.select("SELECT root FROM segments WHERE number = ?", number))
        if self.replay.faults or len(leaves) != SEGMENT_ROWS or root != segment_root(leaves):
            raise self._not_whole(f"segment {number} does not have its root, or makes no sense")
        return link

    def _not_whole(self, problem: str) -> StoreRefused:
        return StoreRefused(self._reader.place, problem, NOTHING_DONE)


def _reach(reader: Reader) -> int:
    """The last row that may go: before every open call, and before the head that the next start looks for."""
    head = reader.newest_head()
    told = head.size - 1 if isinstance(head, Head) else 0
    opened: int | None = only(reader.select("SELECT min(seq) - 1 FROM open_calls"))
    return told if opened is None else min(told, opened)


def _planned(reader: Reader, reading: _Reading, span: tuple[int, Link], act: Act, before_us: int) -> Plan:
    old, link = span
    sql = "SELECT root FROM segments WHERE number <= ? ORDER BY number"
    root = Tree([each for (each,) in reader.select(sql, link.seq // SEGMENT_ROWS)]).root
    if root is None:
        raise AssertionError("a segment was taken, so there is one")
    over_s = before_us // 1_000_000 - WINDOW_S
    found = reader.select(OVER, over_s, before_us // 1_000_000)
    over: tuple[Over, ...] = tuple((scope, window, used) for scope, window, used in found)
    counters = {(scope, window) for scope, window, _ in over}
    lines = tuple(_lines(reader, reading.replay, counters, (old, link.seq)))
    stub = Stub(link.seq, link.hash, root, before_us, act.at_us, past_digest(lines), None)
    return Plan(stub, lines, over, link.seq - old, old)


def _lines(
    reader: Reader, replay: Replay, over: set[tuple[str, int]], span: tuple[int, int]
) -> Iterable[str]:
    """What the rows came to, in an order that depends on nothing else."""
    told: list[list[Any]] = [
        ["used", *counter, amount] for counter, amount in sorted(replay.used.items()) if counter not in over
    ]
    told += [["open", call, o.seq, o.epoch, o.claims] for call, o in sorted(replay.open.items())]
    told += [["alert", *alert] for alert in sorted(replay.alerts) if alert[:2] not in over]
    told += [["usage", *key, *sums] for key, sums in sorted(_usage(reader, span).items())]
    return (orjson.dumps(each).decode() for each in told)


def _usage(reader: Reader, span: tuple[int, int]) -> dict[tuple[Any, ...], list[int]]:
    """Sums by day, tenant, model and upstream: those kept before, and those of the rows that go now."""
    sums: dict[tuple[Any, ...], list[int]] = {
        tuple(values[:4]): values[4:] for word, *values in read_past(reader) if word == "usage"
    }
    for row in reader.select(USAGE, *span):
        before = sums.get(row[:4], [0] * len(row[4:]))
        sums[row[:4]] = [one + more for one, more in zip(before, row[4:], strict=True)]
    return sums
