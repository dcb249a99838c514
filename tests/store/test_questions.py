"""Questions asked under an `idempotency-key`: remembered with the reservation, by every ledger."""

import pytest
from msgspec.structs import replace

from proxy.holds import Granted, Spent
from proxy.question import Question, Repeated
from proxy.store.tables import ASKED_US, TIDIED
from tests.store.making import WALL_US, charge, claim, hold, settlement
from tests.store.test_replicas import replica

ORDER = Question(b"n" * 32, b"d" * 32)
OTHERWISE = Question(b"n" * 32, b"e" * 32)
ANOTHER = Question(b"m" * 32, b"d" * 32)
SAME, DIFFERENT = Repeated(same=True), Repeated(same=False)


def asking(call_id, *claims, question=ORDER, at_us=WALL_US):
    return replace(hold(call_id, *claims), question=question, at_us=at_us)


def ended(call_id, *charges, question=ORDER, **how):
    return replace(settlement(call_id, *charges, **how), question=question)


def known(store):
    return [name for (name,) in store.query("SELECT call_id FROM questions ORDER BY call_id")]


async def test_a_question_is_answered_once_and_another_under_its_key_is_told_apart(store):
    async with store.open() as ledger:
        assert isinstance(await ledger.reserve(asking("c1", claim(10))), Granted)
        assert await ledger.reserve(asking("c2", claim(10))) == SAME
        assert await ledger.reserve(asking("c3", claim(10), question=OTHERWISE)) == DIFFERENT
        assert store.balance() == (0, 10), "who asks again holds nothing"
        await ledger.commit(ended("c1", charge(8)))
        assert await ledger.reserve(asking("c2", claim(10))) == SAME
        assert isinstance(await ledger.reserve(asking("c4", question=ANOTHER)), Granted)
        await ledger.release(ended("c4", question=ANOTHER))
    assert store.kinds("c2") == store.kinds("c3") == []


async def test_what_came_to_nothing_may_be_asked_anew(store):
    async with store.open() as ledger:
        for name in ("c1", "c2"):
            assert isinstance(await ledger.reserve(asking(name)), Granted)
            await ledger.release(ended(name, result="upstream_error"))
        assert known(store) == []


async def test_a_call_that_came_to_nothing_frees_no_question_but_its_own(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1"))
        await ledger.reserve(asking("c2"))
        await ledger.release(ended("c1", result="upstream_error"))
        assert await ledger.reserve(asking("c3")) == SAME
        await ledger.commit(ended("c2"))


async def test_who_was_refused_has_asked_nothing(store):
    async with store.open() as ledger:
        assert isinstance(await ledger.reserve(asking("c1", claim(101, 100))), Spent)
        assert isinstance(await ledger.reserve(asking("c1", claim(10, 100))), Granted)
        await ledger.release(ended("c1"))


@pytest.mark.parametrize("settled", [True, False])
async def test_the_next_process_knows_what_the_last_one_asked(store, settled):
    async with store.open() as ledger:
        await ledger.reserve(asking("c1"))
        if settled:
            await ledger.commit(ended("c1"))
    async with store.open() as ledger:
        assert await ledger.reserve(asking("c2")) == SAME
        assert await ledger.reserve(asking("c3", question=OTHERWISE)) == DIFFERENT
    assert store.kinds("c1") == ["reserve", "commit" if settled else "expire"]


async def test_a_question_is_forgotten_after_a_day_and_old_ones_never_pile_up(store):
    async with store.open() as ledger:
        for number in range(20):
            each = Question(number.to_bytes(32), b"d" * 32)
            await ledger.reserve(asking(f"old{number:02}", question=each))
            await ledger.commit(ended(f"old{number:02}", question=each))
        first = Question(bytes(32), b"e" * 32)
        almost = WALL_US + ASKED_US - 1
        assert await ledger.reserve(asking("c1", question=first, at_us=almost)) == DIFFERENT
        assert len(known(store)) == 20
        left = 20
        for number in range(4):
            each = Question((100 + number).to_bytes(32), b"d" * 32)
            await ledger.reserve(asking(f"new{number}", question=each, at_us=WALL_US + ASKED_US))
            left = max(0, left - TIDIED)
            assert len([name for name in known(store) if name.startswith("old")]) == left
            await ledger.commit(ended(f"new{number}", question=each))
        again = asking("c2", question=first, at_us=WALL_US + ASKED_US)
        assert isinstance(await ledger.reserve(again), Granted)
        await ledger.commit(ended("c2", question=first))


async def test_an_old_question_that_is_still_there_may_be_asked_again(store):
    async with store.open() as ledger:
        await ledger.reserve(asking("c1"))
        await ledger.commit(ended("c1"))
        later = WALL_US + ASKED_US
        assert isinstance(await ledger.reserve(asking("c2", question=OTHERWISE, at_us=later)), Granted)
        assert await ledger.reserve(asking("c3", at_us=later)) == DIFFERENT
        await ledger.commit(ended("c2", question=OTHERWISE))


async def test_calls_without_a_key_leave_nothing(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1"))
        await ledger.commit(settlement("c1"))
        assert known(store) == []


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
async def test_what_one_replica_asks_no_other_does(store):
    async with replica(store) as one, replica(store) as other:
        for number in range(30):  # a hot limit, so that both grant from what they borrowed
            for ledger, name in ((one, f"a{number}"), (other, f"b{number}")):
                assert isinstance(await ledger.reserve(hold(name, claim(1, 10**6))), Granted)
                await ledger.commit(settlement(name, charge(1)))
        assert isinstance(await one.reserve(asking("c1", claim(1, 10**6))), Granted)
        assert await other.reserve(asking("c2", claim(1, 10**6))) == SAME
        assert await other.reserve(asking("c3", claim(1, 10**6), question=OTHERWISE)) == DIFFERENT
        await one.release(ended("c1"))
        assert isinstance(await other.reserve(asking("c4", claim(1, 10**6))), Granted)
        await other.commit(ended("c4", charge(1)))
