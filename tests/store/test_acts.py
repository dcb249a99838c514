"""What every ledger promises of people's acts: one row each, by name of who did it, and whole afterwards."""

import pytest

from proxy.holds import Granted, Spent
from proxy.ports import Declined, Reset
from tests.store.making import DAY, act, charge, claim, hold, settlement

SCOPE = "tenant=acme/tokens/day"
WHO = "kind, call_id, tenant, key_id, user_pseudonym, entries"


async def test_an_erasure_is_one_row_that_names_no_person_however_often_it_is_told(store):
    async with store.open() as ledger:
        await ledger.erased(act("erase_1"), "acme")
        await ledger.erased(act("erase_1"), "acme")
    async with store.open() as ledger:
        await ledger.erased(act("erase_1"), "acme")
    assert store.query(f"SELECT {WHO} FROM rows") == [("erase", "erase_1", "acme", "os:operator", None, "[]")]


async def test_a_reset_frees_what_was_used_in_windows_that_are_not_over_and_says_from_what(store):
    later = DAY + 86_400
    async with store.open() as ledger:
        for number, window in enumerate((DAY - 86_400, DAY, later)):
            held = claim(90, 100, window=window)
            await ledger.reserve(hold(f"c{number}", held))
            await ledger.commit(settlement(f"c{number}", charge(90, window=window)))
        await ledger.reserve(hold("open", claim(5, 100)))
        refused = claim(20, 100)
        assert await ledger.reserve(hold("refused", refused)) == Spent(refused, 90, 5)
        told = await ledger.reset(act("reset_1"), SCOPE)
        assert told == (Reset(SCOPE, DAY, 90), Reset(SCOPE, later, 90))
        assert store.query("SELECT window_start, used, held FROM balances ORDER BY window_start") == [
            (DAY - 86_400, 90, 0),
            (DAY, 0, 5),
            (later, 0, 0),
        ]
        assert isinstance(await ledger.reserve(hold("again", claim(20, 100))), Granted)
        await ledger.commit(settlement("open", charge(5)))
    entries = f'[["{SCOPE}",{DAY},"tokens",-90],["{SCOPE}",{later},"tokens",-90]]'
    assert store.query(f"SELECT {WHO} FROM rows WHERE kind = 'reset'") == [
        ("reset", "reset_1", "-", "os:operator", None, entries)
    ]


async def test_a_reset_that_is_told_twice_resets_once(store):
    async with store.open() as ledger:
        for number in range(2):
            await ledger.reserve(hold(f"c{number}", claim(10)))
            await ledger.commit(settlement(f"c{number}", charge(8)))
            await ledger.reset(act("reset_1"), SCOPE)
    assert store.balance() == (8, 0)


async def test_marks_are_told_again_after_a_reset(store):
    async with store.open() as ledger:
        for turn in range(2):
            await ledger.reserve(hold(f"c{turn}", claim(80, 100)))
            await ledger.commit(settlement(f"c{turn}", charge(80)))
            await ledger.reset(act(f"reset_{turn}"), SCOPE)
    assert [alert.mark for alert in store.alerts] == [75, 75]
    assert store.query("SELECT count(*) FROM alerts") == [(0,)]


async def test_a_counter_that_is_not_there_or_over_is_declined(store, caplog):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10, window=DAY - 86_400)))
        await ledger.release(settlement("c1"))
        for scope in ("tenant=nobody/tokens/day", SCOPE):
            with pytest.raises(Declined, match="no counter in force is named"):
                await ledger.reset(act("reset_1"), scope)
    assert store.query("SELECT 1 FROM rows WHERE kind = 'reset'") == []
    assert [each for each in caplog.records if each.levelname == "ERROR"] == [], "nothing of ours went wrong"
