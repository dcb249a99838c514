"""What is looked at to explain a call: counters and persons, read beside whoever writes them."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.call import Passed
from proxy.errors import Refused
from proxy.store import open_keys, report
from proxy.store.keys import STRANGER, find_pseudonym, known_person
from tests.store.making import DAY, StillClock, attempt, charge, claim, hold, settlement, shadow
from tests.store.stores import beside

SCOPE = "tenant=acme/tokens/day"


async def test_counters_are_told_as_they_stand_and_those_never_used_are_left_out(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("settled", claim(10)))
        await ledger.commit(settlement("settled", charge(8)))
        await ledger.reserve(hold("open", claim(10), shadow(10, 5)))
        asked = (claim(99), shadow(1, 5), claim(1, scope="tenant=globex/tokens/day"))
        found = dict(await ledger.look(asked))
        assert found == {(SCOPE, DAY): (8, 10), (f"{SCOPE}/shadow", DAY): (0, 10)}
        assert dict(await ledger.look(asked)) == found, "looking holds nothing"


async def test_counters_that_cannot_be_read_are_no_guess(tmp_path, store, monkeypatch):
    async with store.open() as ledger:
        monkeypatch.setattr(ledger, "_place", tmp_path / "elsewhere.db")
        with pytest.raises(Refused) as refused:
            await ledger.look((claim(1),))
    assert (refused.value.told.status, refused.value.told.code) == (503, "ledger_unavailable")


async def test_a_row_keeps_who_was_passed_over_where_somebody_was(store):
    passed = (Passed("openai", "model", "open", 9.0), Passed("other", "model", "limit spent"))
    asked = (replace(attempt("vllm", "overload", 503), passed=passed), attempt("home", "ok", 200))
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await ledger.commit(settlement("c1", charge(8), attempts=asked))
        (found,) = beside(lambda: report.last_calls(store.place, 1))
    first, second = found.attempts
    assert first["passed"] == [
        {"upstream": "openai", "model": "model", "why": "open"},
        {"upstream": "other", "model": "model", "why": "limit spent"},
    ]
    assert "passed" not in second


async def test_a_person_is_known_by_pseudonym_and_nobody_becomes_known_by_being_looked_for(place):
    async with open_keys(place, clock=StillClock()) as keys:
        known = await keys.pseudonym("acme", "ann@example.com")
        assert await known_person(place, "acme", "ann@example.com") == known
        assert await known_person(place, "acme", "bob@example.com") == STRANGER
        assert await known_person(place, "globex", "ann@example.com") == STRANGER
        assert await asyncio.to_thread(find_pseudonym, place, "acme", "bob@example.com") is None


async def test_persons_that_cannot_be_read_are_503(tmp_path):
    (tmp_path / "keys.db").write_bytes(b"no database" * 100)
    with pytest.raises(Refused) as refused:
        await known_person(tmp_path / "ledger.db", "acme", "ann@example.com")
    assert (refused.value.told.status, refused.value.told.code) == (503, "keys_unavailable")
