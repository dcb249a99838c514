"""Q4: the disk, or somebody's lock, fails the ledger at the n-th operation, for every n there is.

Two lives of a process do the same things each time, while a `Disk` or an `Intruder` fails them at one place,
once or several times in a row. Whatever place it was: nobody was told a thing that is not so, the file is
sound, each answer is the one that a dictionary would have given, and the ledger goes on in the same process
once the cause has gone: it grants again, tells heads and folds its WAL.
"""

import asyncio
import itertools
import shutil
import sys
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import apsw
import pytest

from proxy.errors import Refused
from proxy.holds import Granted, Progress
from proxy.store import StoreRefused, heads
from proxy.store.anchor import Cadence
from proxy.store.pace import Pace
from proxy.store.sqlite import database
from proxy.store.sqlite.backing import SqliteBacking
from proxy.usage import Usage
from tests.store.failing_disk import FAULTS, UNIX, Disk, Intruder
from tests.store.making import DAY, act, charge, claim
from tests.store.stores import SqliteStore
from tests.store.watched import Watched, most, wrongly_answered

PACE = Pace(
    batch=8,
    retry_s=0.001,
    busy_ms=1,
    note_s=0,
    idle_s=3600,
    wal_pages=30,
    heads=Cadence(rows=9, seconds=3600),
)
"""Small batches; notes at once; heads told and the WAL cut every few of them, and never by the time."""
TURNS, TOGETHER = 6, 3
CEILING, HELD, USED, INPUT = 70, 10, 6, 4
"""The limit is spent in a life's last turn but one."""
ONCE, A_WHILE = 1, 7
NEVER = 1_000_000_000
A_SAMPLE = 8
WATCHDOG_S = 30
"""Of two lives that take a tenth of a second each."""
BALANCES = "SELECT window_start, used, held FROM balances WHERE scope = 'tenant=acme/tokens/day'"
LOCKED = "somebody holds the lock"


class Stuck(Exception):
    """The cause had gone, and the ledger did not go on."""


@dataclass
class Lives:
    """What two lives asked for and were told."""

    store: SqliteStore
    trouble: object
    watched: list[Watched] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def live(self, number):
        """One life: calls in threes, each turn waiting until the ledger is well again."""
        async with AsyncExitStack() as stack:
            ledger = await self.begin(stack)
            watched = Watched(ledger, CEILING)
            self.watched.append(watched)
            window = DAY + number * 86_400
            for turn in range(TURNS):
                names = [f"life{number}-{turn}-{place}" for place in range(TOGETHER)]
                await asyncio.gather(*(self.call(watched, name, window) for name in names))
                if turn == 2:
                    await ledger.erased(act(f"erase_{number}"), "acme")
                    self.noted.append(f"erase_{number}")
                self.told_the_truth(watched)
                await self.well_again(ledger)
            await self.still_grants(watched, number)
            hits = self.trouble.hits
        if self.trouble.hits == hits and not self.trouble.in_the_way:
            self.ended_well()

    async def begin(self, stack):
        refusals = []
        for _ in range(A_WHILE + 1):
            try:
                return await stack.enter_async_context(self.store.open(PACE))
            except StoreRefused as refused:
                refusals.append(str(refused))
        raise Stuck("it was not opened again", refusals, self.trouble.hits)

    async def call(self, watched, name, window):
        fate = int(name[-1])
        other = claim(1, 10**9, scope="upstream=vllm/tokens/day")
        if not isinstance(await watched.reserve(name, window, HELD, other), Granted):
            return
        if fate == 0:
            charges = (charge(USED, window=window),)
            watched.ledger.note(Progress(name, Usage(1, 1), 0, "vllm", "m", charges))
        if fate == 1:
            await watched.settle("release", name, window, 0)
        elif name[-3:] != "1-2":  # that one stays open
            await watched.settle("commit", name, window, USED)

    async def well_again(self, ledger):
        while ledger.trouble is not None:  # noqa: ASYNC110 - another thread has no event for tests
            await asyncio.sleep(0)

    async def still_grants(self, watched, number):
        for attempt in range(A_WHILE + 1):
            answer = await watched.reserve(f"again{number}-{attempt}", 0, 1)
            if isinstance(answer, Granted):
                return
            await self.well_again(watched.ledger)
        raise Stuck("it did not grant again")

    def told_the_truth(self, watched):
        """What was told is in the file by then, whatever else is still to be tried again."""
        there = set(self.read("SELECT kind, call_id FROM rows"))
        self.wrong += [
            f"the {each.kind} of {each.call_id} was told, and is not in the file"
            for each in watched.asked
            if isinstance(each.answer, Granted | None) and (each.kind, each.call_id) not in there
        ]

    def ended_well(self):
        """Nothing failed while it ended: the WAL is in the file, and a head tells of every row."""
        if self.store.path.with_name("ledger.db-wal").exists():
            self.wrong.append("the WAL was not folded")
        head = heads.newest(self.store.path)
        if self.read("SELECT max(seq) FROM rows") != [(head and head.size,)]:
            self.wrong.append("no head tells of the last rows")

    def read(self, sql):
        """As somebody beside the ledger reads, whom nothing fails."""
        connection = apsw.Connection(str(self.store.path), apsw.SQLITE_OPEN_READONLY, vfs=UNIX)
        connection.set_busy_timeout(5000)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def judge(self):
        """Every promise that was broken, once a sound start has settled what was left open."""
        sql = "SELECT call_id, kind FROM rows WHERE kind <> 'alert' ORDER BY seq"
        kinds = defaultdict(list)
        for call_id, kind in self.store.query(sql):
            kinds[call_id].append(kind)
        wrong = [*self.wrong, *self.store.faults()]
        wrong += [f"{name} is not noted once" for name in self.noted if kinds.pop(name, []) != ["erase"]]
        asked = [each for watched in self.watched for each in watched.asked]
        wrong += wrongly_answered(asked, CEILING)
        wrong += untrue(asked, kinds)
        found = {(window, used, held) for window, used, held in self.store.query(BALANCES)}
        expected = {(window, used, 0) for window, used in charged(asked).items()}
        if found != expected:
            wrong.append(f"the balances are {found}, not {expected}")
        if max(most(self.store.path).values()) > CEILING:
            wrong.append("the limit was passed")
        return wrong


def untrue(asked, kinds):
    """What callers were told that the file does not say, and calls in it that nobody asked for."""
    expected, wrong = {}, []
    for each in asked:
        if each.kind != "reserve":
            expected[each.call_id] = (["reserve", each.kind],)
            if each.answer is not None:
                wrong.append(f"the settlement of {each.call_id} was refused")
        elif isinstance(each.answer, Granted):
            expected[each.call_id] = (["reserve", "expire"],)
        elif isinstance(each.answer, Refused):
            expected[each.call_id] = ([], ["reserve", "release"])
        else:
            expected[each.call_id] = ([],)
    return wrong + [
        f"{call_id} has {kinds.get(call_id)}, not one of {expected.get(call_id)}"
        for call_id in expected.keys() | kinds.keys()
        if kinds.get(call_id, []) not in expected.get(call_id, ())
    ]


def charged(asked):
    """What each window comes to: what was settled, and the prompts of calls that were left open."""
    used, left = defaultdict(int), {}
    for each in asked:
        if each.kind != "reserve":
            del left[each.call_id]
            used[each.window] += each.amount
        elif isinstance(each.answer, Granted):
            left[each.call_id] = each
    for each in left.values():
        used[each.window] += min(INPUT, each.amount)
    return dict(used)


def make(kind, path, nth, times):
    return Intruder(path, nth, times) if kind == LOCKED else Disk(FAULTS[kind], nth, times)


def play(folder, kind, nth, times):
    """Two lives with trouble at one place; the trouble, and what was wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    store = SqliteStore(folder)

    lives = Lives(store, make(kind, store.path, nth, times))

    async def both():
        async with asyncio.timeout(WATCHDOG_S):
            with lives.trouble:
                for number in range(2):
                    await lives.live(number)
        async with store.open():
            pass

    try:
        asyncio.run(both())
    except (Stuck, TimeoutError, StoreRefused) as stuck:
        return lives.trouble, [f"it did not go on: {stuck!r}"]
    return lives.trouble, lives.judge()


def places(folder, kind):
    """How often the disk, or the lock, is asked in two lives that nothing disturbs."""
    trouble, wrong = play(folder, kind, NEVER, 1)
    assert wrong == []
    return trouble.asked


TROUBLES = pytest.mark.parametrize("kind", [*FAULTS, LOCKED])
TIMES = pytest.mark.parametrize("times", [ONCE, A_WHILE], ids=["once", "for a while"])


@pytest.mark.fault("d4-full", "d6-flush")
@TROUBLES
@TIMES
def test_trouble_at_any_operation_makes_nobody_a_liar_and_passes(tmp_path, kind, times):
    """A sample of all places, spread over both lives."""
    count = places(tmp_path / "calm", kind)
    met = 0
    for nth in range(1, count + 1, max(1, count // A_SAMPLE)):
        trouble, wrong = play(tmp_path / "ledger", kind, nth, times)
        assert wrong == [], f"{kind}, at {nth} of {count}, {times} times"
        met += trouble.hits > 0
    assert met > A_SAMPLE // 2


@pytest.mark.long
@pytest.mark.timeout(3600)
@TROUBLES
@TIMES
def test_trouble_at_every_operation_makes_nobody_a_liar_and_passes(tmp_path, kind, times):
    for nth in itertools.count(1):
        trouble, wrong = play(tmp_path / "ledger", kind, nth, times)
        assert wrong == [], f"{kind}, at {nth}, {times} times"
        if not trouble.hits:
            break
    assert nth > places(tmp_path / "calm", kind) * 0.8


def lax(monkeypatch):
    """It does not flush."""
    pragmas = tuple(each.replace("synchronous = FULL", "synchronous = NORMAL") for each in database.PRAGMAS)
    monkeypatch.setattr(database, "PRAGMAS", pragmas)


def trusting(monkeypatch):
    """It never opens the file anew."""
    monkeypatch.setattr(SqliteBacking, "_reopen_if_suspect", lambda _: None)


@pytest.mark.parametrize(("plant", "kind"), [(lax, "a flush fails and forgets"), (trusting, "a flush fails")])
def test_a_mistake_of_the_writer_is_caught(tmp_path, monkeypatch, plant, kind):
    """Others were planted by hand, and were caught: answers before the COMMIT, settlements let go or told
    too early, reservations that nobody frees, no probe, a chain that goes on from what was undone.
    """
    plant(monkeypatch)
    monkeypatch.setattr(sys.modules[__name__], "WATCHDOG_S", 5)
    count = places(tmp_path / "calm", kind)
    assert any(play(tmp_path / "ledger", kind, nth, ONCE)[1] for nth in range(count, 0, -1))
