"""PostgreSQL: many replicas, one truth. What one of them did, all see; what one left, another settles."""

import asyncio
import signal
from contextlib import AsyncExitStack

import asyncpg
import pytest
from msgspec.structs import replace

from proxy.errors import Refused
from proxy.holds import Granted, Progress, Spent
from proxy.store import StoreRefused, open_ledger
from proxy.store.anchor import Cadence
from proxy.store.pace import Pace
from proxy.store.postgres import backing
from proxy.store.postgres.database import LEDGER, connect
from proxy.store.seal import Seal
from proxy.usage import Usage
from tests.store.making import StillClock, act, charge, claim, hold, settlement
from tests.store.stores import PostgresStore

HASTY = Pace(retry_s=0.001, idle_s=0.01, heads=Cadence(rows=10**9, seconds=10**9))
"""Quick to try again; nobody is taken for dead within a test."""
SEAL = Seal(b"k" * 32)


@pytest.fixture
def store(database):
    opened = PostgresStore(database)
    yield opened
    assert opened.faults() == ()


def replica(store, pace=HASTY, **options):
    return open_ledger(store.place, clock=StillClock(), on_alert=store.alerts.append, pace=pace, **options)


async def sql(store, statement, *values):
    connection = await connect(store.place, LEDGER)
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


async def until(true):
    while not true():  # noqa: ASYNC110 - the writer is another thread and has no event for tests
        await asyncio.sleep(0)


async def in_touch(ledger, clock):
    """Let a replica be in touch with the server for as long as it needs to know who is dead."""
    contact = ledger._writer._backing._contact
    heard = contact.heard
    contact.heard = lambda asked_s, _server_s=None: heard(asked_s)  # the clocks of a test do not go together
    for _ in range(5):
        clock.now_us += 3_000_000
        await until(lambda: contact.heard_s == clock.mono())


async def test_what_one_replica_holds_no_other_can(store):
    async with replica(store) as one, replica(store) as other:
        assert isinstance(await one.reserve(hold("c1", claim(60, 100))), Granted)
        refused = claim(41, 100)
        assert await other.reserve(hold("c2", refused)) == Spent(refused, used=0, held=60)
        await one.commit(settlement("c1", charge(50)))
        assert isinstance(await other.reserve(hold("c3", claim(50, 100))), Granted)
        # A call may be settled where it was not reserved: the database knows it, not the process.
        await one.release(settlement("c3"))
    assert store.kinds("c3") == ["reserve", "release"]


@pytest.mark.timeout(120)
async def test_4_replicas_under_64_callers_never_exceed_a_limit_and_can_use_all_of_it(store):
    """Every call holds 1 % of the limit and uses a part of it, until the limit is spent."""
    ceiling, worst = 10_000, 100
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(replica(store, Pace())) for _ in range(4)]
        over, spent = [], asyncio.Event()

        async def watch():
            while not spent.is_set():
                [(used, held)] = await sql(
                    store, "SELECT coalesce(sum(used), 0), coalesce(sum(held), 0) FROM balances"
                )
                over.append(used + held > ceiling)

        async def caller(number):
            ledger, turn, refused = replicas[number % 4], 0, 0
            while refused < 3:
                turn += 1
                call_id = f"{number}-{turn}"
                answer = await ledger.reserve(hold(call_id, claim(worst, ceiling)))
                if isinstance(answer, Spent):
                    refused += 1
                    assert answer.used + answer.held + worst > ceiling, "refused though there was room"
                else:
                    await ledger.commit(settlement(call_id, charge(10 + (number + turn) % worst // 2)))

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            await asyncio.gather(*(caller(number) for number in range(64)))
            spent.set()
            await watching
    used, held = store.balance()
    assert held == 0
    assert ceiling * 0.95 <= used <= ceiling
    assert len(over) > 5
    assert not any(over)


FETCHED = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'rows'"


async def test_a_call_looks_at_a_few_rows_however_many_there_are(store):
    """On a server that has counted nothing yet, which would rather read them all."""
    async with replica(store) as ledger:

        async def caller(name):
            for turn in range(60):
                await ledger.reserve(hold(f"{name}-{turn}", claim(1, 10**9)))
                await ledger.commit(settlement(f"{name}-{turn}", charge(1)))

        await asyncio.gather(*map(caller, range(16)))
    [(fetched,)] = await sql(store, FETCHED)
    assert 0 < fetched < 16 * 60 * 10


async def test_what_a_dead_replica_left_open_is_settled_by_another(store):
    silent = replace(HASTY, idle_s=3600)
    async with replica(store, silent) as one:
        await one.reserve(hold("c1", claim(10), input_tokens=4))
        clock = StillClock()
        async with open_ledger(store.place, clock=clock, on_alert=print, pace=HASTY) as other:
            assert store.balance() == (0, 10), "one that is silent for less than its time is not dead"
            await sql(store, "UPDATE replicas SET seen_at = seen_at - interval '1 hour' WHERE epoch = 1")
            await in_touch(other, clock)
            await until(lambda: store.kinds("c1") == ["reserve", "expire"])
            assert store.balance() == (4, 0)
            # It lives after all: it is told so once, and joins anew. What it had open stays settled.
            await one.commit(settlement("c1", charge(8)))
            assert isinstance(await one.reserve(hold("c2", claim(10))), Granted)
            assert isinstance(await other.reserve(hold("c3", claim(10))), Granted)
            await one.release(settlement("c2"))
            await other.release(settlement("c3"))
    assert store.kinds("c1") == ["reserve", "expire"]
    assert store.query("SELECT epoch FROM rows WHERE call_id = 'c2' AND kind = 'reserve'") == [(3,)]


async def test_a_replica_that_only_takes_notes_of_a_long_stream_is_heard_of(store):
    clock = StillClock()
    async with open_ledger(
        store.place, clock=clock, on_alert=print, pace=replace(HASTY, idle_s=600, note_s=0.001)
    ) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await sql(store, "UPDATE replicas SET seen_at = seen_at - interval '1 hour'")
        clock.now_us += 600_000_000
        ledger.note(Progress("c1", Usage(1, 2), 5, "vllm", "m", (charge(3),)))
        silent = "SELECT 1 FROM replicas WHERE seen_at < clock_timestamp() - interval '1 minute'"
        await until(lambda: store.query(silent) == [])
        await ledger.release(settlement("c1"))


async def test_a_server_that_goes_away_while_it_is_quiet_is_told_to_readiness(server):
    store = PostgresStore(server.database())
    async with replica(store) as ledger:
        await asyncio.to_thread(server.stop)
        await until(lambda: ledger.trouble)
        await asyncio.to_thread(server.start)
        await until(lambda: ledger.trouble is None)
        assert isinstance(await ledger.reserve(hold("c1", claim(10))), Granted)
        await ledger.release(settlement("c1"))


async def test_a_mark_is_told_once_by_whichever_replica_crossed_it(store):
    async with replica(store) as one, replica(store) as other:
        for number, ledger in enumerate((one, other, one, other)):
            await ledger.reserve(hold(f"c{number}", claim(25, 100)))
            await ledger.commit(settlement(f"c{number}", charge(24)))
        await asyncio.sleep(0)
        marks = sorted(alert.mark for alert in store.alerts)
        assert marks == [75, 90]
        await one.reset(act("reset_1"), "tenant=acme/tokens/day")
        assert isinstance(await other.reserve(hold("c9", claim(90, 100))), Granted)
        await other.commit(settlement("c9", charge(80)))
    assert sorted(alert.mark for alert in store.alerts) == [75, 75, 90]


@pytest.mark.fault("d19-down")
async def test_a_server_that_goes_away_refuses_reservations_and_keeps_settlements(server):
    store = PostgresStore(server.database())
    async with replica(store) as ledger:
        for number in range(20):
            await ledger.reserve(hold(f"c{number}", claim(10)))
        await asyncio.to_thread(server.stop)
        settling = asyncio.gather(*(ledger.commit(settlement(f"c{n}", charge(8))) for n in range(20)))
        with pytest.raises(Refused) as caught:
            await ledger.reserve(hold("while away", claim(10)))
        assert caught.value.told.status == 503
        await until(lambda: ledger.trouble)
        assert not settling.done()
        await asyncio.to_thread(server.start)
        await settling
        await until(lambda: ledger.trouble is None)
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)
        await ledger.release(settlement("after"))
    assert store.balance() == (160, 0)
    assert store.kinds("while away") == []
    assert store.faults() == ()


@pytest.mark.fault("d19-slow")
async def test_a_server_that_falls_silent_is_given_up_when_its_time_is_over(server, monkeypatch):
    """Worse than one that is gone: its connections stay, and it says nothing."""
    monkeypatch.setattr(connect, "__defaults__", (0.2,))
    store = PostgresStore(server.database())
    async with replica(store) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await asyncio.to_thread(server.signal, signal.SIGSTOP)
        try:
            settling = asyncio.ensure_future(ledger.commit(settlement("c1", charge(8))))
            with pytest.raises(Refused) as caught:
                await ledger.reserve(hold("while silent", claim(10)))
            assert caught.value.told.code == "ledger_unavailable"
            await until(lambda: ledger.trouble)
            assert not settling.done()
        finally:
            await asyncio.to_thread(server.signal, signal.SIGCONT)
        await settling
        await until(lambda: ledger.trouble is None)
        assert isinstance(await ledger.reserve(hold("after", claim(1))), Granted)
        await ledger.release(settlement("after"))
    assert store.balance() == (8, 0)
    assert store.faults() == ()


async def test_who_ends_while_the_server_is_silent_asks_it_once_and_waits_for_nothing_else(
    server, monkeypatch, caplog
):
    monkeypatch.setattr(backing, "LEAVING_S", 0.05)
    store = PostgresStore(server.database())
    try:
        async with replica(store, replace(HASTY, idle_s=3600)) as ledger:
            await ledger.reserve(hold("c1", claim(10)))
            await ledger.commit(settlement("c1", charge(8)))
            await asyncio.to_thread(server.signal, signal.SIGSTOP)
    finally:
        await asyncio.to_thread(server.signal, signal.SIGCONT)
    told = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert told[-1:] == ["the server was not told that this replica ends: TimeoutError"]
    assert not [line for line in told if "head could not be kept" in line]
    assert store.balance() == (8, 0)
    assert store.faults() == ()


class Torn:
    """A session that loses its server at one statement, before or after that was done, once."""

    def __init__(self, session, statement, *, done_first):
        self.session, self.statement, self.done_first = session, statement, done_first

    def __getattr__(self, name):
        return getattr(self.session, name)

    def execute(self, sql, *values):
        if sql == self.statement:
            if self.done_first:
                self.session.execute(sql, *values)
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return self.session.execute(sql, *values)


@pytest.mark.parametrize("done_first", [True, False])
@pytest.mark.parametrize("statement", ["BEGIN", "COMMIT"])
async def test_a_connection_lost_in_a_batch_binds_nobody_and_loses_no_settlement(
    store, statement, done_first
):
    async with replica(store, replace(HASTY, idle_s=3600)) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        backing = ledger._writer._backing
        backing._session = backing.tables.session = Torn(backing._session, statement, done_first=done_first)
        settling = ledger.commit(settlement("c1", charge(8)))
        with pytest.raises(Refused):
            await ledger.reserve(hold("c2", claim(10)))
        await settling
        await until(lambda: ledger.trouble is None)
        assert store.balance() == (8, 0)
    assert store.kinds("c1") == ["reserve", "commit"]
    assert store.kinds("c2") in ([], ["reserve", "release"])


async def test_a_driver_that_speaks_out_of_turn_ends_a_batch_and_not_the_writer(store):
    """As it does when a server that ends says so between two statements."""

    class OutOfTurn(Torn):
        def execute(self, sql, *values):
            if sql == self.statement:
                raise asyncpg.InternalClientError(
                    "cannot switch to state 12; another operation is in progress"
                )
            return self.session.execute(sql, *values)

    async with replica(store, replace(HASTY, idle_s=3600)) as ledger:
        backing = ledger._writer._backing
        backing._session = backing.tables.session = OutOfTurn(backing._session, "BEGIN", done_first=False)
        with pytest.raises(Refused):
            await ledger.reserve(hold("c1", claim(10)))
        await until(lambda: ledger.trouble is None)
        assert isinstance(await ledger.reserve(hold("c2", claim(10))), Granted)
        await ledger.release(settlement("c2"))


async def test_a_number_that_was_not_committed_is_not_this_replicas(store):
    async with replica(store, replace(HASTY, idle_s=3600)) as ledger:
        backing = ledger._writer._backing
        backing.tables.epoch = 0
        backing._session = backing.tables.session = Torn(backing._session, "COMMIT", done_first=False)
        with pytest.raises(Refused):
            await ledger.reserve(hold("c1", claim(10)))
        async with replica(store) as other:
            await until(lambda: ledger.trouble is None)
            assert backing.tables.epoch != other._writer._backing.tables.epoch


async def test_a_replica_that_ends_with_calls_open_leaves_them_to_another(store):
    async with replica(store) as one:
        await one.reserve(hold("c1", claim(10), input_tokens=4))
    assert store.balance() == (0, 10)
    await sql(store, "UPDATE replicas SET seen_at = seen_at - interval '1 hour'")
    clock = StillClock()
    async with open_ledger(store.place, clock=clock, on_alert=print, pace=HASTY) as other:
        await in_touch(other, clock)
        await until(lambda: store.balance() == (4, 0))


async def test_notes_that_cannot_be_written_are_lost_and_no_trouble(store, caplog):
    async with replica(store, replace(HASTY, idle_s=3600, note_s=0.001)) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        backing = ledger._writer._backing
        torn = Torn(backing._session, "BEGIN; SET LOCAL synchronous_commit TO off", done_first=False)
        backing._session = backing.tables.session = torn
        ledger.note(Progress("c1", Usage(1, 2), 5, "vllm", "m", (charge(3),)))
        await until(lambda: "could not be noted" in caplog.text)
        assert ledger.trouble is None
        await ledger.commit(settlement("c1", charge(8)))
    assert store.balance() == (8, 0)


async def test_a_defect_in_one_request_spares_its_neighbours_even_where_the_server_would_not(store):
    async with replica(store) as ledger:
        poison = hold("nul\0", claim(10))
        huge = hold("huge", claim(2**63 - 1, 2**63 - 1), claim(1, 2**63 - 1))
        done = await asyncio.gather(
            *(ledger.reserve(each) for each in (hold("c1", claim(10)), poison, huge, hold("c2", claim(10)))),
            return_exceptions=True,
        )
        assert [type(each).__name__ for each in done] == ["Granted", "Misuse", "Misuse", "Granted"]
        for name in ("c1", "c2"):
            await ledger.release(settlement(name))


async def test_a_start_refuses_a_database_that_its_last_head_does_not_fit(store):
    async with replica(store, seal=SEAL) as ledger:
        for number in range(5):
            await ledger.reserve(hold(f"c{number}", claim(1)))
            await ledger.release(settlement(f"c{number}"))
    for spoil, mend in (
        ("UPDATE state SET seq = 8", "UPDATE state SET seq = 10"),
        ("UPDATE heads SET line = replace(line, '\"size\":10', '\"size\":11')", None),
    ):
        kept = await sql(store, "SELECT size, line FROM heads")
        await sql(store, spoil)
        with pytest.raises(StoreRefused, match=r"cut short|not signed"):
            async with replica(store, seal=SEAL):
                pass
        if mend:
            await sql(store, mend)
        for size, line in kept:
            await sql(store, "UPDATE heads SET line = $2 WHERE size = $1", size, line)
    async with replica(store, seal=SEAL):
        pass
