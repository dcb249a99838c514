"""When the marks of a counter are told, by every ledger: once a window, in order, 100 when it is spent."""

import asyncio

import pytest

from proxy.holds import Alert, Granted, Spent
from proxy.table import Unit
from tests.store.making import DAY, charge, claim, hold, settlement, shadow


async def test_marks_are_told_once_a_window_with_a_row_each(store):
    async with store.open() as ledger:
        for number, used in enumerate((70, 6, 1, 20, 3)):
            assert isinstance(await ledger.reserve(hold(f"c{number}", claim(used, 100))), Granted)
            await ledger.commit(settlement(f"c{number}", charge(used)))
        await asyncio.sleep(0)
    told = [(alert.mark, alert.used) for alert in store.alerts]
    assert told == [(75, 76), (90, 97), (100, 100)]
    assert store.alerts[0] == Alert("tenant=acme/tokens/day", DAY, 75, 76, 100, Unit.TOKENS)
    assert len(store.query("SELECT 1 FROM rows WHERE kind = 'alert'")) == 3
    async with store.open() as ledger:  # a restart tells nothing again
        refused = claim(1, 100)
        assert await ledger.reserve(hold("c9", refused)) == Spent(refused, 100, 0)
    assert len(store.alerts) == 3


async def test_a_limit_nine_tenths_used_counts_as_spent_once_a_call_is_refused_for_what_was_used(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(97, 100, marks=())))
        await ledger.reserve(hold("c2", claim(97, 100, marks=())))  # refused for what is held: no alert
        await ledger.commit(settlement("c1", charge(90)))
        assert isinstance(await ledger.reserve(hold("c3", claim(5, 100, marks=()))), Granted)
        held = claim(6, 100, marks=())
        assert await ledger.reserve(hold("c4", held)) == Spent(held, 90, 5)
        assert store.alerts == [], "it finds room when the others have ended"
        for number in range(2):
            refused = claim(11, 100, marks=())
            assert await ledger.reserve(hold(f"d{number}", refused)) == Spent(refused, 90, 5)
        await ledger.release(settlement("c3"))
    assert [(alert.mark, alert.used) for alert in store.alerts] == [(100, 90)]


@pytest.mark.parametrize("make", [claim, shadow])
async def test_a_large_call_refused_does_not_make_a_limit_spent_and_marks_are_told_in_order(store, make):
    def ask(amount):
        return make(amount, 1000, marks=(75, 90))

    before = 0
    async with store.open() as ledger:
        for used, large in ((25, 988), (800, 250), (899, 150), (1000, 1)):
            assert isinstance(await ledger.reserve(hold(f"to{used}", ask(used - before))), Granted)
            await ledger.commit(settlement(f"to{used}", charge(used - before, scope=ask(0).scope)))
            await ledger.reserve(hold(f"beyond{used}", ask(large)))
            await ledger.release(settlement(f"beyond{used}"))
            before = used
    told = [(alert.mark, alert.used) for alert in store.alerts]
    assert told == [(75, 800), (90, 1000), (100, 1000)]
