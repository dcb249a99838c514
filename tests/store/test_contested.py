"""A row that the file refuses: who asked for it is told so, and its neighbours have what they asked."""

import pytest

from proxy.holds import Granted
from proxy.store.fault import Misuse
from tests.store.making import charge, claim, hold, settlement
from tests.store.stores import SqliteStore, together
from tests.store.test_notes import SEEN, progress


@pytest.fixture
def file(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    assert opened.faults() == ()


def commits(ledger):
    return sum(ledger.pulse.commits)


@pytest.fixture(params=["a call that was settled", "a price below nothing"])
def refused(request):
    """A reservation that the file refuses, once `old` is settled."""
    if request.param == "a call that was settled":
        return hold("old", claim(10))
    return hold("odd", claim(10), nano_usd=-1)


async def test_neighbours_in_the_batch_are_granted_and_settled(file, refused):
    async with file.open() as ledger:
        await ledger.reserve(hold("old", claim(10)))
        await ledger.commit(settlement("old", charge(8)))
        await ledger.reserve(hold("c1", claim(10)))
        asked = (
            lambda: ledger.reserve(hold("c2", claim(10))),
            lambda: ledger.reserve(refused),
            lambda: ledger.commit(settlement("c1", charge(5))),
            lambda: ledger.reserve(hold("c3", claim(10))),
        )
        done = await together(ledger, *asked)
        assert [type(each) for each in done] == [Granted, Misuse, type(None), Granted]
        assert refused.call_id in str(done[1])
        assert file.balance() == (13, 20)
        assert ledger.trouble is None
    assert file.kinds("c1") == ["reserve", "commit"]
    assert file.kinds("old") == ["reserve", "commit"]
    assert file.kinds("odd") == []


async def test_how_far_a_neighbour_had_got_is_noted_all_the_same(file, refused):
    async with file.open() as ledger:
        await ledger.reserve(hold("old", claim(10)))
        await ledger.commit(settlement("old", charge(8)))
        await ledger.reserve(hold("c1", claim(100)))

        async def note():
            ledger.note(progress("c1", 40))

        await together(ledger, note, lambda: ledger.reserve(refused))
        assert file.query(SEEN, "c1")[0][0] is not None
        await ledger.release(settlement("c1"))


async def test_the_batch_after_it_is_whole_again(file, refused):
    async with file.open() as ledger:

        def five(name):
            return [lambda n=n: ledger.reserve(hold(f"{name}{n}", claim(1))) for n in range(5)]

        await ledger.reserve(hold("old", claim(10)))
        await ledger.commit(settlement("old", charge(8)))
        await together(ledger, *five("c"), lambda: ledger.reserve(refused))
        before = commits(ledger)
        await together(ledger, *five("d"))
        assert commits(ledger) == before + 1


async def test_alone_it_is_refused_and_changes_nothing(file, refused):
    async with file.open() as ledger:
        await ledger.reserve(hold("old", claim(10)))
        await ledger.commit(settlement("old", charge(8)))
        with pytest.raises(Misuse, match=refused.call_id):
            await ledger.reserve(refused)
        assert file.balance() == (8, 0)
        assert isinstance(await ledger.reserve(hold("c1", claim(10))), Granted)
