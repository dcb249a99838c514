"""Slices of hot limits: granted from without a question, and never beyond what the database set aside."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from proxy.errors import Refused
from proxy.holds import Claim, Granted, Spent
from proxy.store import open_ledger
from proxy.store.anchor import Cadence
from proxy.store.pace import Pace
from proxy.store.postgres.database import LEDGER, connect
from proxy.store.postgres.lending import Lending
from proxy.store.postgres.slices import HOT_A_SECOND, IDLE_S, Slice, Slices, size_of
from proxy.table import Unit
from tests.store.making import DAY, StillClock, charge, claim, hold, settlement, shadow
from tests.store.stores import PostgresStore
from tests.store.test_replicas import Torn, in_touch

SCOPE = "tenant=acme/tokens/day"
COUNTER = (SCOPE, DAY)
CEILING = 1_000_000
PACE = Pace(retry_s=0.001, idle_s=0.01, heads=Cadence(rows=10**9, seconds=10**9))


def lent(left=100, ceiling=CEILING, counter=COUNTER):
    return Slice(counter, ceiling, used=7, held=left, left=left, taken_s=0.0)


# -- the machine -----------------------------------------------------------------------------------------


def test_the_nearer_a_limit_is_to_its_end_the_less_is_lent_of_it():
    assert size_of(1_000_000, 0, 10) == 10_000, "a hundredth of the whole"
    assert size_of(1_000_000, 900_000, 10) == 6_250, "a sixteenth of what is free"
    assert size_of(1_000_000, 999_000, 10) == 0, "too little to be worth it"
    assert size_of(1_000_000, 1_500_000, 10) == 0
    assert size_of(100, 0, 1) == 0, "calls at once are not lent"


def test_all_claims_are_granted_from_slices_or_none():
    slices, other = Slices(), ("key=k/tokens/day", DAY)
    slices.lend([lent(100)], slices.turn)
    assert slices.spend((claim(10, CEILING), claim(10, CEILING, scope=other[0])), 1.0) is None
    slices.lend([lent(15, counter=other)], slices.turn)
    two = (claim(10, CEILING), claim(10, CEILING, scope=other[0]))
    assert [(each.used, each.held) for each in slices.spend(two, 1.0)] == [(7, 100), (7, 15)]
    assert slices.spend(two, 1.0) is None, "the second slice has 5 left"
    assert slices.spend((claim(90, CEILING),), 1.0) is not None, "and nothing of the first was taken for it"
    assert slices.spend((claim(1, CEILING),), 1.0) is None


@pytest.mark.parametrize(
    "claims",
    [
        (),
        (claim(10, CEILING + 1),),
        (claim(10, CEILING), claim(10, CEILING)),
        (claim(10, CEILING, window=DAY + 86_400),),
        (shadow(10, CEILING, scope=SCOPE),),
    ],
    ids=["none at all", "another ceiling", "one counter twice", "another window", "a shadow"],
)
def test_what_a_slice_does_not_stand_for_is_asked_of_the_database(claims):
    slices = Slices()
    slices.lend([lent(100)], slices.turn)
    assert slices.spend(claims, 1.0) is None


def test_a_counter_is_hot_when_it_is_asked_for_often_within_a_second():
    slices, claims = Slices(), (claim(10, CEILING), shadow(10, CEILING))
    for number in range(HOT_A_SECOND * 3):
        found = slices.hot(claims, (), number / (HOT_A_SECOND - 1) / 2 + 10)
    assert found == (claims[0],)
    for number in range(HOT_A_SECOND * 3):
        assert slices.hot(claims, (), number / (HOT_A_SECOND - 1) + 100) == ()
    assert slices.hot(claims, (COUNTER,), 200.0) == (claims[0],), "one whose slice ran dry is"


def test_a_slice_that_ran_dry_or_lies_idle_is_given_back_once():
    slices = Slices()
    slices.lend([lent(5)], slices.turn)
    assert slices.give_up((claim(10, CEILING),)) == (COUNTER,)
    assert slices.give_up((claim(10, CEILING),)) == ()
    slices.lend([lent(5)], slices.turn)
    assert slices.idle(IDLE_S - 0.1) == ()
    assert slices.idle(IDLE_S) == (COUNTER,)
    assert slices.idle(IDLE_S * 9) == ()
    slices.owe([COUNTER])
    assert slices.idle(0.0) == (COUNTER,), "what could not be given back is tried again"


def test_what_was_borrowed_before_its_counter_was_given_back_is_not_granted_from():
    """It is told late: whoever asked after it has had the database take the slice away."""
    slices = Slices()
    asked = slices.turn
    slices.owe([COUNTER])
    assert slices.give_up((claim(10, CEILING),)) == (COUNTER,)
    slices.lend([lent(100)], asked)
    assert slices.spend((claim(10, CEILING),), 1.0) is None
    assert slices.give_up(()) == (COUNTER,)


def test_what_nobody_knows_of_is_not_granted_from_however_late_that_is_told():
    """Of two asks for one counter the first fails, and the second borrows: in either order of being told."""
    slices = Slices()
    asked = slices.turn
    slices.owe([COUNTER])
    slices.lend([lent(100)], asked)
    assert slices.spend((claim(10, CEILING),), 1.0) is None
    slices = Slices()
    slices.lend([lent(100)], slices.turn)
    slices.owe([COUNTER])
    assert slices.spend((claim(10, CEILING),), 1.0) is None
    assert slices.give_up(()) == (COUNTER,)


def test_calls_at_once_are_never_hot():
    slices = Slices()
    calls = Claim("tenant=acme/streams", 0, 0, Unit.STREAMS, 1, 100_000, ())
    assert [slices.hot((calls,), (), 1.0) for _ in range(HOT_A_SECOND * 2)][-1] == ()


class Counting:
    """Tables that say what was done to slices."""

    def __init__(self):
        self.epoch, self.done = 1, []

    def look(self, counter):
        return 0, 0

    def borrow(self, counter, amount):
        self.done.append("borrow")
        return True

    def give_back(self, counter):
        self.done.append("give back")


class Granting:
    """A journal with room for everything."""

    def reserve(self, hold):
        return Granted(())


@pytest.mark.parametrize(("life", "done"), [(1, ["borrow"]), (2, [])])
def test_what_is_asked_in_one_life_touches_no_slice_of_the_next(life, done):
    tables = Counting()
    lending = Lending(tables, lambda: True, StillClock())
    wanted = hold("c1", claim(10, CEILING))
    for _ in range(HOT_A_SECOND - 1):
        lending.asking(wanted)
    asking = lending.asking(wanted)
    tables.epoch = life
    asking.work(Granting())
    assert tables.done == done


# -- with a server ---------------------------------------------------------------------------------------


class Going(StillClock):
    """A clock that goes on when told."""


@pytest.fixture
def store(database):
    opened = PostgresStore(database)
    yield opened
    assert opened.faults() == ()


def replica(store, clock, pace=PACE):
    return open_ledger(store.place, clock=clock, on_alert=store.alerts.append, pace=pace)


async def sql(store, statement, *values):
    connection = await connect(store.place, LEDGER)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def until(true):
    while not true():  # noqa: ASYNC110 - the writer is another thread and has no event for tests
        await asyncio.sleep(0)


async def heated(ledger, calls=HOT_A_SECOND):
    for number in range(calls):
        assert isinstance(await ledger.reserve(hold(f"hot-{number}", claim(10, CEILING))), Granted)
        await ledger.release(settlement(f"hot-{number}"))


async def test_a_hot_limit_is_granted_from_a_slice_and_its_row_follows(store):
    async with replica(store, StillClock()) as ledger:
        await heated(ledger)
        assert await sql(store, "SELECT amount FROM slices") == [(CEILING // 100,)]
        asking = ledger.reserve(hold("c1", claim(10, CEILING)))
        with pytest.raises(StopIteration) as answered:
            asking.send(None)  # it does not wait for anything
        granted = answered.value.value
        assert isinstance(granted, Granted)
        await granted.durable
        assert store.kinds("c1") == ["reserve"]
        assert store.balance() == (0, 10)
        assert await sql(store, "SELECT amount FROM slices") == [(CEILING // 100 - 10,)]
        await ledger.commit(settlement("c1", charge(8)))
        assert store.balance() == (8, 0)
    assert await sql(store, "SELECT amount FROM slices") == [], "an end gives all back"


async def test_what_is_lent_no_other_replica_can_hold(store):
    async with replica(store, StillClock()) as one, replica(store, StillClock()) as other:
        await heated(one)
        free = CEILING - CEILING // 100
        refused = claim(free + 1, CEILING)
        assert await other.reserve(hold("c1", refused)) == Spent(refused, 0, CEILING // 100)
        assert isinstance(await other.reserve(hold("c2", claim(free, CEILING))), Granted)
        assert isinstance(await one.reserve(hold("c3", claim(10, CEILING))), Granted), "its slice is its own"
        for name, ledger in (("c2", other), ("c3", one)):
            await ledger.release(settlement(name))


async def test_a_slice_that_lies_idle_goes_back(store):
    clock = StillClock()
    async with replica(store, clock) as ledger:
        await heated(ledger)
        clock.now_us += int(IDLE_S * 1e6)
        await until(lambda: store.query("SELECT coalesce(sum(amount), 0) FROM slices") == [(0,)])
        assert isinstance(await ledger.reserve(hold("c1", claim(CEILING, CEILING))), Granted)
        await ledger.release(settlement("c1"))


async def test_a_slice_that_lies_idle_goes_back_while_others_are_asked_for(store):
    clock = StillClock()
    async with replica(store, clock, replace(PACE, idle_s=3600)) as ledger:
        await heated(ledger)
        clock.now_us += int(IDLE_S * 1e6)
        assert isinstance(await ledger.reserve(hold("c1", claim(1, 10, scope="another"))), Granted)
        assert store.query("SELECT coalesce(sum(amount), 0) FROM slices") == [(0,)]
        await ledger.release(settlement("c1"))


async def test_what_a_dead_replica_had_set_aside_counts_as_used_and_it_grants_no_more_from_it(store):
    silent = replace(PACE, idle_s=3600)
    async with replica(store, StillClock(), silent) as one:
        await heated(one)
        granted = await one.reserve(hold("c1", claim(10, CEILING)))
        await granted.durable
        clock = StillClock()
        async with replica(store, clock) as other:
            await sql(store, "UPDATE replicas SET seen_at = seen_at - interval '1 hour' WHERE epoch = 1")
            await in_touch(other, clock)
            await until(lambda: store.kinds("c1") == ["reserve", "expire"])
            assert store.kinds("slices_of_1") == ["reserve", "expire"]
            burnt = CEILING // 100 - 10
            assert store.balance() == (4 + burnt, 0)
            # It finds out with the next word, whatever it had been granted meanwhile: nothing is doubled.
            late = await one.reserve(hold("c2", claim(10, CEILING)))
            await late.durable
            assert (await one.reserve(hold("c3", claim(10, CEILING)))).durable is None
            for name in ("c2", "c3"):
                await one.release(settlement(name))
            assert store.balance() == (4 + burnt, 0)
    assert store.query("SELECT DISTINCT epoch FROM rows WHERE call_id = 'c2'") == [(3,)]


async def test_a_replica_that_may_be_taken_for_dead_grants_nothing_by_itself(store):
    clock = StillClock()
    async with replica(store, clock, replace(PACE, idle_s=3600)) as ledger:
        await heated(ledger)
        assert (await ledger.reserve(hold("c1", claim(10, CEILING)))).durable is not None
        await ledger.release(settlement("c1"))
        clock.now_us += int(PACE.dead_s / 2 * 1e6)
        assert (await ledger.reserve(hold("c2", claim(10, CEILING)))).durable is None
        await ledger.release(settlement("c2"))


async def test_a_caller_who_leaves_while_it_is_borrowed_for_leaves_no_slice_behind(store):
    async with replica(store, StillClock()) as ledger:
        await heated(ledger, HOT_A_SECOND - 1)
        asking = asyncio.ensure_future(ledger.reserve(hold("c1", claim(10, CEILING))))
        await asyncio.sleep(0)
        asking.cancel()
        await ledger.release(settlement("c1"))
        granted = await ledger.reserve(hold("c2", claim(10, CEILING)))
        assert granted.durable is not None, "what was borrowed for c1 is known"
        await ledger.release(settlement("c2"))
    assert store.balance() == (0, 0)


async def test_an_ask_that_was_refused_at_once_leaves_no_slice_behind(store):
    async with replica(store, StillClock()) as ledger:
        await heated(ledger)
        ledger._writer.trouble = "as if"
        with pytest.raises(Refused):
            await ledger.reserve(hold("c1", claim(10, CEILING)))
        ledger._writer.trouble = None
        assert isinstance(await ledger.reserve(hold("c2", claim(CEILING, CEILING))), Granted), "it went back"
        await ledger.release(settlement("c2"))


async def test_a_row_that_was_written_is_not_written_again_when_nobody_knew(store):
    async with replica(store, StillClock(), replace(PACE, idle_s=3600)) as ledger:
        await heated(ledger)
        backing = ledger._writer._backing
        backing._session = backing.tables.session = Torn(backing._session, "COMMIT", done_first=True)
        granted = await ledger.reserve(hold("c1", claim(10, CEILING)))
        await granted.durable
        await until(lambda: ledger.trouble is None)
        await ledger.release(settlement("c1"))
    assert store.kinds("c1") == ["reserve", "release"]


CALLERS, WORST = 64, 40


@pytest.mark.timeout(120)
async def test_4_replicas_that_borrow_never_exceed_a_limit_and_can_use_nearly_all_of_it(store):
    """64 callers until each was refused twice, five thousand calls for the whole limit."""
    await used_up(store, 200_000, 10**9)


@pytest.mark.long
@pytest.mark.timeout(2 * 3600)
async def test_4_replicas_that_borrow_keep_a_limit_over_640_000_calls(store):
    """Of them nine in ten fit."""
    await used_up(store, CALLERS * 10_000 * WORST * 9 // 10, 10_000)


async def used_up(store, ceiling, turns):
    """Callers of four replicas use up a limit, each until it was refused twice or has had its turns."""
    own = 0
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(replica(store, StillClock(), Pace())) for _ in range(4)]
        over, spent = [], asyncio.Event()

        async def watch():
            lent = "(SELECT coalesce(sum(amount), 0) FROM slices)"
            total = f"SELECT coalesce(sum(used + held), 0) + {lent} FROM balances"
            while not spent.is_set():
                [(stand,)] = await sql(store, total)
                over.append(stand > ceiling)
                await asyncio.sleep(0.01)

        async def caller(number):
            nonlocal own
            ledger, turn, refused = replicas[number % 4], 0, 0
            while refused < 2 and turn < turns:
                turn += 1
                call_id = f"{number}-{turn}"
                answer = await ledger.reserve(hold(call_id, claim(WORST, ceiling)))
                if isinstance(answer, Spent):
                    refused += 1
                else:
                    own += answer.durable is not None
                    await ledger.commit(settlement(call_id, charge(WORST)))

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            await asyncio.gather(*(caller(number) for number in range(CALLERS)))
            spent.set()
            await watching
    used, held = store.balance()
    assert held == 0
    assert ceiling * 0.95 <= used <= ceiling
    assert own > ceiling / WORST / 2, "most were granted from slices"
    assert len(over) > 5
    assert not any(over)
