"""Whether the ledger agrees with itself: every row replayed from the first or the stub, against the tables.

Reads only. Tests and `fallthrough ledger check` call it, `verify.py` does the same beside the chain;
a running proxy never has to.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import orjson
from msgspec import Struct, field

from proxy.place import Place
from proxy.store.chain import SEGMENT_ROWS
from proxy.store.fault import Unreadable
from proxy.store.reader import Reader, only, open_reader
from proxy.store.strays import strays
from proxy.store.stub import Stub, digest_kept, read_past, read_stub
from proxy.store.tables import Counted

SLICE_ROWS = 20_000

ROWS = "SELECT seq, epoch, kind, call_id, entries FROM rows WHERE seq > ? ORDER BY seq LIMIT ?"

BALANCES = "SELECT scope, window_start, unit, used, held FROM balances"

Entries = list[list[Any]]
"""`[scope, window, unit, amount]` each, as rows have them (`entries.py`)."""


class Open(Struct):
    """A reservation that nothing has resolved yet."""

    seq: int
    epoch: int
    claims: Entries


class Replay(Struct):
    """What the rows say, without any working table."""

    used: Counter[Counted] = field(default_factory=Counter)
    open: dict[str, Open] = field(default_factory=dict)
    alerts: set[tuple[str, int, int]] = field(default_factory=set)
    units: dict[Counted, str] = field(default_factory=dict)
    """Of every counter that a row here claims; a stub does not tell those of rows that are gone."""
    epoch: int = 0
    last: int = 0
    """The last row, one that is gone included."""
    faults: list[str] = field(default_factory=list)
    pruned: str | None = None
    """What the last `prune` row says of the stub."""

    def carry(self, last: int, past: Iterable[list[Any]]) -> None:
        """Begin with what the rows came to that a stub stands for."""
        self.last = last
        try:
            for word, *values in past:
                self._carry(word, values)
        except (ValueError, TypeError, LookupError):
            self.faults.append("what is kept of pruned rows cannot be read")

    def _carry(self, word: str, values: list[Any]) -> None:
        if word == "used":
            scope, window, amount = values
            self.used[scope, window] += amount
        elif word == "open":
            call_id, seq, epoch, claims = values
            self.open[call_id] = Open(seq, epoch, claims)
        elif word == "alert":
            scope, window, mark = values
            self.alerts.add((scope, window, mark))

    def held(self) -> Counter[Counted]:
        held: Counter[Counted] = Counter()
        for reservation in self.open.values():
            for scope, window, _, amount in reservation.claims:
                held[scope, window] += amount
        return held

    def row(self, seq: int, epoch: int, kind: str, call_id: str, text: str) -> None:
        """The next row; one that makes no sense is a fault and changes nothing."""
        self.last = seq
        try:
            self.epoch = max(self.epoch, epoch)
            self._row(seq, epoch, kind, call_id, orjson.loads(text))
        except (ValueError, TypeError, LookupError):
            self.faults.append(f"row {seq}: its entries cannot be read")

    def _row(self, seq: int, epoch: int, kind: str, call_id: str, entered: Entries) -> None:
        if kind == "alert":
            scope, window, _, _, mark, _ = entered[0]
            self.alerts.add((scope, window, mark))
        elif kind == "erase":
            return
        elif kind == "reset":
            for scope, window, _, amount in entered:
                self.used[scope, window] += amount
                self.alerts = {alert for alert in self.alerts if alert[:2] != (scope, window)}
        elif kind == "prune":
            self.pruned = orjson.dumps(entered).decode()
        elif kind == "reserve":
            if call_id in self.open:
                self.faults.append(f"row {seq}: {call_id} is reserved twice")
            self._claim(entered)
            self.open[call_id] = Open(seq, epoch, entered)
        elif call_id not in self.open:
            self.faults.append(f"row {seq}: {kind} of {call_id}, which is not open")
        elif kind == "move":
            self._claim(entered)
            self.open[call_id].claims += entered
        else:
            self._settle(seq, call_id, entered)

    def _claim(self, entered: Entries) -> None:
        for scope, window, unit, _ in entered:
            self.units[scope, window] = unit

    def _settle(self, seq: int, call_id: str, entered: Entries) -> None:
        claimed = {(scope, window) for scope, window, _, _ in self.open.pop(call_id).claims}
        for scope, window, _, amount in entered:
            self.used[scope, window] += amount
            if (scope, window) not in claimed:
                self.faults.append(f"row {seq}: {call_id} is charged to {scope}, which it did not claim")


def check(place: Place) -> tuple[str, ...]:
    """Every disagreement found, in words; empty: the ledger is whole."""
    replay, expected = Replay(), 0
    with closing(open_reader(place)) as reader:
        try:
            reader.begin()
            stub = read_stub(reader)
            if stub is not None:
                expected = stub.size
                replay.carry(stub.size, read_past(reader))
            while rows := list(reader.select(ROWS, expected, SLICE_ROWS)):
                for seq, *rest in rows:
                    expected += 1
                    if seq != expected:
                        replay.faults.append(f"row {expected} is missing")
                        expected = seq
                    replay.row(seq, *rest)
            return (*replay.faults, *tables(reader, replay))
        except Unreadable as error:
            return (*replay.faults, f"after row {expected}: the file is damaged ({error.reason})")


def tables(reader: Reader, replay: Replay) -> list[str]:
    """Where the working tables differ from what the rows come to."""
    stub = read_stub(reader)
    over_s = stub.over_s if stub else 0
    faults = [*strays(reader), *_stub(reader, replay, stub), *_segments(reader, replay)]
    faults += [*_balances(reader, replay, over_s), *_open(reader, replay)]
    alerts: set[Any] = set(reader.select("SELECT scope, window_start, mark FROM alerts"))
    for scope, window, mark in sorted(alerts ^ replay.alerts):
        if window < over_s and (scope, window, mark) not in alerts:
            continue
        faults.append(f"the alert of {scope} in {window} at {mark} % is in only one of rows and alerts")
    epoch: int = only(reader.select("SELECT epoch FROM state WHERE id = 1"))
    if epoch < replay.epoch:
        faults.append(f"the epoch is {epoch}, yet a row is of epoch {replay.epoch}")
    return faults


def _open(reader: Reader, replay: Replay) -> list[str]:
    found: dict[str, Any] = {
        call: (seq, epoch, text)
        for call, seq, epoch, text in reader.select("SELECT call_id, seq, epoch, claims FROM open_calls")
    }
    faults = [
        f"{call} is open in only one of rows and open_calls"
        for call in sorted(found.keys() ^ replay.open.keys())
    ]
    for call in sorted(found.keys() & replay.open.keys()):
        told = replay.open[call]
        if found[call] != (told.seq, told.epoch, orjson.dumps(told.claims).decode()):
            faults.append(f"{call}: what open_calls says of it is not what its rows say")
    return faults


def _stub(reader: Reader, replay: Replay, stub: Stub | None) -> list[str]:
    if (stub and stub.entries()) != replay.pruned:
        return ["the stub is not what the last prune row says of it"]
    if stub is not None and digest_kept(reader) != stub.digest:
        return ["what is kept of pruned rows is not what the stub says"]
    return []


def _segments(reader: Reader, replay: Replay) -> list[str]:
    beyond = reader.select(
        "SELECT number FROM segments WHERE number > ? ORDER BY number", replay.last // SEGMENT_ROWS
    )
    return [f"segment {number} has a root but not all of its rows" for (number,) in beyond]


def _balances(reader: Reader, replay: Replay, over_s: int) -> list[str]:
    held, faults = replay.held(), []
    found, units = {}, {}
    for scope, window, unit, *amounts in reader.select(BALANCES):
        found[scope, window], units[scope, window] = tuple(amounts), unit
    for counter in sorted({*found, *replay.used, *held}):
        if counter not in found and counter[1] < over_s and not held[counter]:
            continue
        told = (replay.used[counter], held[counter])
        if found.get(counter, (0, 0)) != told:
            faults.append(f"{counter}: rows say used and held {told}, the balance {found.get(counter)}")
        if units.get(counter) not in (None, replay.units.get(counter, units.get(counter))):
            faults.append(f"{counter}: rows count {replay.units[counter]}, the balance {units[counter]}")
    return faults
