"""What watchers read beside a ledger that is being written: again and again, and nothing counted twice."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.store import StoreRefused, view
from proxy.store.view import ALERTS_MAX, Spend, View
from proxy.table import Unit
from proxy.usage import Source, Usage
from tests.store.making import DAY, WALL_US, act, charge, claim, hold, settlement
from tests.store.stores import beside

DAY_US = 86_400_000_000
MONTH = (WALL_US, WALL_US + 31 * DAY_US)
TODAY = (WALL_US, WALL_US + DAY_US)


async def served(ledger, call_id, *, at_us=WALL_US, tenant="acme", nano_usd=7):
    """One whole call that ended then."""
    asked = hold(call_id, claim(10, 10**6))
    identity = replace(asked.identity, tenant=tenant)
    await ledger.reserve(replace(asked, identity=identity))
    done = settlement(call_id, charge(8), usage=Usage(3, 5, source=Source.REPORTED), nano_usd=nano_usd)
    outcome = replace(done.outcome, identity=identity)
    await ledger.commit(replace(done, outcome=outcome, ended_us=at_us))


async def test_spending_is_by_tenant_and_day_and_grows_by_what_came_since(store):
    looking = View(store.place)
    async with store.open() as ledger:
        await served(ledger, "c1")
        await served(ledger, "c2", at_us=WALL_US + 2 * DAY_US)
        await served(ledger, "g1", tenant="globex")
        beside(lambda: looking.look(WALL_US))
        assert looking.spent("acme", MONTH) == Spend(2, 6, 10, 14)
        assert looking.spent("acme", TODAY) == Spend(1, 3, 5, 7)
        assert looking.spent("globex", MONTH) == Spend(1, 3, 5, 7)
        assert looking.spent("nobody", MONTH) == Spend()
        for _ in range(3):
            beside(lambda: looking.look(WALL_US))
        await served(ledger, "c3")
        beside(lambda: looking.look(WALL_US))
        assert looking.spent("acme", MONTH) == Spend(3, 9, 15, 21)


async def test_what_was_before_is_let_go(store):
    looking = View(store.place)
    async with store.open() as ledger:
        await served(ledger, "c1")
        beside(lambda: looking.look(WALL_US))
        await served(ledger, "c2", at_us=WALL_US + 2 * DAY_US)
        beside(lambda: looking.look(WALL_US + DAY_US))
        assert looking.spent("acme", MONTH).calls == 1
        assert View(store.place).spent("acme", MONTH) == Spend(), "nothing before the first look"


async def test_rows_that_are_pruned_still_count_and_count_once(store):
    watched, fresh = View(store.place), View(store.place)
    async with store.open() as ledger:
        await asyncio.gather(*(served(ledger, f"c{number}", nano_usd=1) for number in range(700)))
        beside(lambda: watched.look(WALL_US))
    async with store.open() as ledger:  # rows go only beneath a head, and a stop tells one
        assert await ledger.prune(act("p1", WALL_US + DAY_US), WALL_US + DAY_US) == 1024
        await served(ledger, "last", nano_usd=1)
        for looking in (watched, fresh):
            beside(lambda looking=looking: looking.look(WALL_US))
            assert looking.spent("acme", MONTH) == Spend(701, 3 * 701, 5 * 701, 701)


async def test_a_look_that_is_cut_off_in_the_middle_counts_nothing_twice(store, monkeypatch):
    looking = View(store.place)
    async with store.open() as ledger:
        await served(ledger, "c1")
        beside(lambda: looking.look(WALL_US))
        await served(ledger, "c2")
        with monkeypatch.context() as broken:
            broken.setattr(view, "ALERTS", "SELECT nothing FROM nowhere WHERE ? = ?")
            with pytest.raises(StoreRefused):
                beside(lambda: looking.look(WALL_US))
        beside(lambda: looking.look(WALL_US))
        assert looking.spent("acme", MONTH).calls == 2


async def test_only_the_rows_of_the_time_that_matters_are_read(store):
    """Found by halving: the first look at a ledger of years must not read all of it."""
    looking = View(store.place)
    async with store.open() as ledger:
        for number in range(40):
            await served(ledger, f"c{number}", at_us=WALL_US + number * DAY_US)
        beside(lambda: looking.look(WALL_US + 30 * DAY_US))
        assert looking.spent("acme", (0, WALL_US + 99 * DAY_US)).calls == 10


async def test_counters_have_their_marks_and_none_is_a_person_s(store):
    async with store.open() as ledger:
        person = claim(5, scope="tenant=acme/user=p_1/tokens/day")
        at_once = replace(claim(1, 4, scope="tenant=acme/streams", unit=Unit.STREAMS, window=0), window_end=0)
        await ledger.reserve(hold("open", claim(10), person, at_once))
        found = beside(lambda: View(store.place).counters(WALL_US))
        assert [(each.scope, each.held, each.ceiling, each.marks) for each in found] == [
            ("tenant=acme/streams", 1, 4, (75, 90)),
            ("tenant=acme/tokens/day", 10, 1000, (75, 90)),
        ]
        over = beside(lambda: View(store.place).counters(WALL_US + DAY_US))
        assert [each.scope for each in over] == [at_once.scope]
        wanted = (claim(0).counter, ("tenant=acme/tokens/month", DAY))
        stands = beside(lambda: View(store.place).stands(wanted))
        assert stands == {("tenant=acme/tokens/day", DAY): (0, 10)}


async def test_where_there_are_too_many_counters_the_fullest_are_told_by_name(store, monkeypatch):
    monkeypatch.setattr(view, "COUNTERS_MAX", 3)
    async with store.open() as ledger:
        amounts = {"d": 9, "a": 500, "c": 1000, "b": 700}
        claims = [claim(amount, scope=f"tenant={name}/tokens/day") for name, amount in amounts.items()]
        await ledger.reserve(hold("open", *claims))
        found = beside(lambda: View(store.place).counters(WALL_US))
        assert [each.scope[7] for each in found] == ["a", "b", "c"]


async def test_marks_that_were_crossed_are_told_by_whose_counter_crossed_them(store):
    looking = View(store.place)
    async with store.open() as ledger:
        for number in range(ALERTS_MAX + 3):
            one = claim(10, 10, window=DAY + number * 86_400, marks=())
            await ledger.reserve(hold(f"c{number}", one))
            await ledger.commit(settlement(f"c{number}", charge(10, window=one.window)))
        other = claim(10, 10, scope="key=key_1/tokens/day", marks=())
        await ledger.reserve(hold("key", other))
        await ledger.commit(settlement("key", charge(10, scope=other.scope)))
        beside(lambda: looking.look(WALL_US))
        found = looking.alerts("tenant=acme")
        assert len(found) == ALERTS_MAX
        assert {(each.scope, each.mark, each.used, each.ceiling) for each in found} == {
            ("tenant=acme/tokens/day", 100, 10, 10)
        }
        assert [each.scope for each in looking.alerts("key=key_1", "tenant=globex")] == [other.scope]
        assert len(looking.alerts()) == ALERTS_MAX + 1


def test_a_ledger_that_is_not_there_is_said_so(place):
    with pytest.raises(StoreRefused):
        View(place).look(0)
