"""Who waits for a flush, and who does not: a rush and a lonely settlement wait for company, nobody else."""

import asyncio

import pytest

from proxy.store.pace import Pace
from tests.store.making import act, charge, claim, hold, settlement
from tests.store.stores import SqliteStore, together

FOR_EVER = Pace(gather_s=3600.0)


class Later:
    """A loop that notes what it is to do later."""

    def __init__(self, loop):
        self.loop, self.asked = loop, []

    def __getattr__(self, name):
        return getattr(self.loop, name)

    def call_later(self, seconds, callback):
        self.asked.append((seconds, callback))


def commits(ledger):
    return sum(ledger.pulse.commits)


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


@pytest.mark.parametrize(("many", "waits"), [(1, 0), (3, 0), (4, 1), (30, 1)])
async def test_only_a_batch_that_many_wait_for_makes_the_next_one_wait(file, many, waits):
    paused = []
    async with file.open(Pace(pause=paused.append)) as ledger:
        asked = [lambda n=n: ledger.reserve(hold(f"c{n}", claim(1))) for n in range(many)]
        await together(ledger, *asked)
        await ledger.reserve(hold("last", claim(1)))  # taken after whatever pause there was
        gather_s = ledger._writer._pace.gather_s
    assert paused == [gather_s] * waits


async def test_settlements_are_no_rush(file):
    paused = []
    async with file.open(Pace(pause=paused.append, gather_s=3600.0)) as ledger:
        for number in range(9):
            await ledger.reserve(hold(f"c{number}", claim(1)))
        for number in range(9):
            ledger.commit(settlement(f"c{number}", charge(1)))
        await ledger.reserve(hold("last", claim(1)))
        await ledger.reserve(hold("after", claim(1)))
    assert paused == []


async def test_a_settlement_that_nobody_waits_for_shares_the_flush_of_the_next_reservation(file):
    async with file.open(FOR_EVER) as ledger:
        for number in range(10):
            await ledger.reserve(hold(f"c{number}", claim(60, 100)))
            ledger.commit(settlement(f"c{number}", charge(1)))
        assert (commits(ledger), ledger.pulse.waiting) == (10, 1)


async def test_a_settlement_lies_in_the_queue_for_five_milliseconds_at_most(file):
    async with file.open() as ledger:
        writer = ledger._writer
        loop = writer._loop = Later(writer._loop)
        for name in ("c1", "c2"):
            await ledger.reserve(hold(name, claim(1)))
        for name in ("c1", "c2"):
            ledger.commit(settlement(name, charge(1)))
        [(seconds, callback)] = loop.asked
        assert seconds <= 0.005
        assert ledger.pulse.waiting == 2
        callback()
        while ledger.pulse.waiting:  # noqa: ASYNC110 - the writer is another thread
            await asyncio.sleep(0)
        ledger.commit(settlement("c2", charge(1)))
        assert len(loop.asked) == 2, "the next one has a moment of its own"


async def test_whoever_waits_for_a_settlement_or_an_act_has_it_written_at_once(file):
    async with file.open(FOR_EVER) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await ledger.commit(settlement("c1", charge(8)))
        assert file.balance() == (8, 0)
        await ledger.erased(act("erase_1"), "acme")
        assert file.query("SELECT count(*) FROM rows WHERE kind = 'erase'") == [(1,)]


async def test_closing_does_not_wait_for_company(file):
    async with file.open(FOR_EVER) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        ledger.commit(settlement("c1", charge(8)))
    assert file.kinds("c1") == ["reserve", "commit"]
