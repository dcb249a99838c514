"""Whether the ledger agrees with itself: every row replayed from the first, against the balances.

Reads only. Tests and `fallthrough ledger check` call it; a running proxy never has to.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from proxy.store import entries
from proxy.store.database import open_reader
from proxy.store.entries import Entry

RESOLVED = frozenset({"commit", "release", "expire"})


@dataclass(slots=True)
class Replay:
    """What the rows say, without any working table."""

    used: Counter[tuple[str, int]] = field(default_factory=Counter)
    open: dict[str, list[Entry]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def held(self) -> Counter[tuple[str, int]]:
        held: Counter[tuple[str, int]] = Counter()
        for claims in self.open.values():
            for claim in claims:
                held[claim.counter] += claim.amount
        return held

    def row(self, kind: str, call_id: str, entered: list[Entry]) -> None:
        if kind == "reserve":
            if call_id in self.open:
                self.faults.append(f"{call_id} is reserved twice")
            self.open[call_id] = entered
        elif call_id not in self.open:
            self.faults.append(f"{kind} of {call_id}, which is not open")
        elif kind == "move":
            self.open[call_id] += entered
        else:
            claimed = {claim.counter for claim in self.open.pop(call_id)}
            for entry in entered:
                self.used[entry.counter] += entry.amount
                if entry.counter not in claimed:
                    self.faults.append(f"{call_id} is charged to {entry.scope}, which it did not claim")


def check(path: Path) -> tuple[str, ...]:
    """Every disagreement found, in words; empty: the ledger is whole."""
    connection = open_reader(path)
    try:
        connection.execute("BEGIN")
        replay = _replay(connection)
        return (*replay.faults, *_balances(connection, replay), *_open(connection, replay))
    finally:
        connection.close(True)


def _replay(connection: apsw.Connection) -> Replay:
    replay, expected = Replay(), 0
    for seq, kind, call_id, text in connection.execute(
        "SELECT seq, kind, call_id, entries FROM rows ORDER BY seq"
    ):
        expected += 1
        if seq != expected:
            replay.faults.append(f"row {expected} is missing")
            expected = seq
        if kind != "alert":
            replay.row(kind, call_id, entries.load(text))
    return replay


def _balances(connection: apsw.Connection, replay: Replay) -> list[str]:
    held, faults = replay.held(), []
    found = {
        (scope, window): (used, kept)
        for scope, window, used, kept in connection.execute(
            "SELECT scope, window_start, used, held FROM balances"
        )
    }
    for counter in sorted({*found, *replay.used, *held}):
        told = (replay.used[counter], held[counter])
        if found.get(counter, (0, 0)) != told:
            faults.append(f"{counter}: rows say used and held {told}, the balance {found.get(counter)}")
    return faults


def _open(connection: apsw.Connection, replay: Replay) -> list[str]:
    found = {call for (call,) in connection.execute("SELECT call_id FROM open_calls")}
    return [f"{call} is open in only one of rows and open_calls" for call in sorted(found ^ set(replay.open))]
