"""Pruning: whole segments of old rows are taken away, and a stub is left that stands for them.

In three steps, so that calls hardly notice however much there is to take. `plan` reads the old rows
beside the writer, holds each to its hash, and sums up what they came to; `settle_stub` moves the stub, in one
transaction with the `prune` row: from then on the rows are gone for every reader; `drop` deletes them
a segment at a time. Killed in between, the next pruning goes on: rows beneath the stub are only litter.
"""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import apsw
import orjson

from proxy.ports import Act, Declined
from proxy.store import heads
from proxy.store.acts import row_of
from proxy.store.chain import COLUMNS, GENESIS, SEGMENT_ROWS, Link, Tree, leaf, segment_root
from proxy.store.fault import StoreRefused
from proxy.store.heads import Head
from proxy.store.journal import Journal
from proxy.store.replay import Replay
from proxy.store.report import MEASURES, SETTLED
from proxy.store.seal import Seal
from proxy.store.sqlite.database import RESTORE, open_reader
from proxy.store.stub import DAY_US, WINDOW_S, Stub, past_digest, read_past, read_stub

SEGMENT = f"SELECT {', '.join(COLUMNS)}, prev, hash FROM rows WHERE seq > ? AND seq <= ? ORDER BY seq"  # noqa: S608

USAGE = f"""
SELECT at_us / {DAY_US}, {MEASURES} FROM rows WHERE {SETTLED} AND seq > ? AND seq <= ? GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - our own words

Over = tuple[str, int, int]
"""Scope, window and use of a counter that need not be kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pruning will come to."""

    stub: Stub
    """Not signed yet."""
    past: tuple[str, ...]
    over: tuple[Over, ...]
    rows: int
    """How many go, beyond those that went before."""


def plan(path: Path, act: Act, before_us: int) -> Plan | None:
    """What can be taken away of the rows older than a moment; None: not one whole segment.

    Reads for as long as it takes, beside the writer. Raises `StoreRefused` where a row was changed.
    """
    with closing(open_reader(path)) as connection:
        try:
            old = read_stub(connection)
            link, reading = old.link if old else GENESIS, _Reading(connection, path)
            reading.replay.carry(read_past(connection))
            end = _reach(connection, path)
            while link.seq + SEGMENT_ROWS <= end and reading.older(link.seq, before_us):
                link = reading.take(link)
            if link.seq == (old.size if old else 0):
                return None
            return _planned(connection, reading, (old.size if old else 0, link), act, before_us)
        except apsw.Error as error:
            raise StoreRefused(path, f"SQLite cannot read it ({error})", RESTORE) from error


def settle_stub(journal: Journal, plan: Plan, act: Act, seal: Seal | None) -> None:
    """Put the stub in place of the rows, in one transaction with the row that says so."""
    stub, connection = plan.stub, journal.connection
    if seal is not None:
        stub = replace(stub, key_id=seal.public_key.key_id)
        stub = replace(stub, signature=seal.sign(stub.signed_bytes()))
    if not journal.note(row_of("prune", act, told=stub.entries())):
        return
    connection.execute("INSERT OR REPLACE INTO stub VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(stub))
    connection.execute("DELETE FROM past")
    connection.executemany("INSERT INTO past (what) VALUES (?)", [(line,) for line in plan.past])
    for scope, window, used in plan.over:
        connection.execute(
            "DELETE FROM balances WHERE scope = ? AND window_start = ? AND used = ? AND held = 0",
            (scope, window, used),
        )
        if connection.changes() != 1:
            raise Declined(f"{scope} of {window} was over and is in use again; prune once more")
        connection.execute("DELETE FROM alerts WHERE scope = ? AND window_start = ?", (scope, window))


def drop(journal: Journal) -> int:
    """Delete the oldest of the rows that the stub stands for, a segment's worth; how many there were."""
    first, size = journal.connection.execute("SELECT min(seq), (SELECT max(size) FROM stub) FROM rows").get
    if size is None or first > size:
        return 0
    journal.connection.execute("DELETE FROM rows WHERE seq <= ?", (min(first + SEGMENT_ROWS - 1, size),))
    return journal.connection.changes()


class _Reading:
    """The rows to be taken away, read a segment at a time."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self.replay = Replay()
        self._connection = connection
        self._path = path

    def older(self, after: int, before_us: int) -> bool:
        """Whether every row of the segment after a row is older than a moment."""
        sql = "SELECT max(at_us) FROM rows WHERE seq > ? AND seq <= ?"
        newest: int | None = self._connection.execute(sql, (after, after + SEGMENT_ROWS)).get
        return newest is not None and newest < before_us

    def take(self, link: Link) -> Link:
        """Replay a segment, every row held to its hash and all to their root; its last row."""
        leaves: list[bytes] = []
        number = link.seq // SEGMENT_ROWS + 1
        names = tuple(COLUMNS.index(name) for name in ("seq", "epoch", "kind", "call_id", "entries"))
        found: Iterable[tuple[Any, ...]] = self._connection.execute(
            SEGMENT, (link.seq, link.seq + SEGMENT_ROWS)
        )
        for *values, prev, own in found:
            if (values[0], prev) != (link.seq + 1, link.hash) or own != leaf(prev, values):
                raise self._not_whole(f"row {values[0]} is not what was written")
            seq, epoch, kind, call_id, entries = (values[at] for at in names)
            self.replay.row(seq, epoch, kind, call_id, entries)
            link = Link(seq, own)
            leaves.append(own)
        root = self._connection.execute("SELECT root FROM segments WHERE number = ?", (number,)).get
        if self.replay.faults or root != segment_root(leaves):
            raise self._not_whole(f"segment {number} does not have its root, or makes no sense")
        return link

    def _not_whole(self, problem: str) -> StoreRefused:
        return StoreRefused(self._path, problem, "run `fallthrough ledger verify`; nothing was pruned")


def _reach(connection: apsw.Connection, path: Path) -> int:
    """The last row that may go: before every open call, and before the head that the next start looks for."""
    head = heads.newest(path)
    told = head.size - 1 if isinstance(head, Head) else 0
    opened: int | None = connection.execute("SELECT min(seq) - 1 FROM open_calls").get
    return told if opened is None else min(told, opened)


def _planned(
    connection: apsw.Connection, reading: _Reading, span: tuple[int, Link], act: Act, before_us: int
) -> Plan:
    old, link = span
    numbers = (link.seq // SEGMENT_ROWS,)
    sql = "SELECT root FROM segments WHERE number <= ? ORDER BY number"
    root = Tree([each for (each,) in connection.execute(sql, numbers)]).root
    if root is None:
        raise AssertionError("a segment was taken, so there is one")
    over_s = before_us // 1_000_000 - WINDOW_S
    found: list[Any] = connection.execute(
        "SELECT scope, window_start, used FROM balances"
        " WHERE window_start < ? AND window_end <= ? AND held = 0",
        (over_s, before_us // 1_000_000),
    ).fetchall()
    over: tuple[Over, ...] = tuple(found)
    lines = tuple(
        _lines(connection, reading.replay, {(scope, window) for scope, window, _ in over}, (old, link.seq))
    )
    stub = Stub(link.seq, link.hash, root, before_us, act.at_us, past_digest(lines), None)
    return Plan(stub, lines, over, link.seq - old)


def _lines(
    connection: apsw.Connection, replay: Replay, over: set[tuple[str, int]], span: tuple[int, int]
) -> Iterable[str]:
    """What the rows came to, in an order that depends on nothing else."""
    told: list[list[Any]] = [
        ["used", *counter, amount] for counter, amount in sorted(replay.used.items()) if counter not in over
    ]
    told += [["open", call, o.seq, o.epoch, o.claims] for call, o in sorted(replay.open.items())]
    told += [["alert", *alert] for alert in sorted(replay.alerts) if alert[:2] not in over]
    told += [["usage", *key, *sums] for key, sums in sorted(_usage(connection, span).items())]
    return (orjson.dumps(each).decode() for each in told)


def _usage(connection: apsw.Connection, span: tuple[int, int]) -> dict[tuple[Any, ...], list[int]]:
    """Sums by day, tenant, model and upstream: those kept before, and those of the rows that go now."""
    sums: dict[tuple[Any, ...], list[int]] = {
        tuple(values[:4]): values[4:] for word, *values in read_past(connection) if word == "usage"
    }
    for row in connection.execute(USAGE, span):
        before = sums.get(row[:4], [0] * len(row[4:]))
        sums[row[:4]] = [one + more for one, more in zip(before, row[4:], strict=True)]
    return sums
