"""`fallthrough limits`, as an operator types it where no proxy runs."""

import asyncio
import json
import time

import pytest
from click.testing import CliRunner

from proxy.cli import cli
from proxy.store import open_keys
from proxy.table import Unit
from tests.store.making import StillClock, charge, claim, hold, settlement
from tests.store.stores import SqliteStore

DAY_S = 86_400
TODAY = time.time_ns() // 1_000_000_000 // DAY_S * DAY_S
TOKENS, MONEY, OVER = "tenant=acme/tokens/day", "tenant=acme/nano_usd/day", "tenant=acme/tokens/past"


async def used(store):
    claims = (
        claim(10, 1000, scope=TOKENS, window=TODAY),
        claim(10**9, 10**10, scope=MONEY, window=TODAY, unit=Unit.NANO_USD),
        claim(10, 1000, scope=OVER, window=TODAY - 3 * DAY_S),
    )
    charges = (charge(750, scope=TOKENS, window=TODAY), charge(1_500_000_000, scope=MONEY, window=TODAY))
    async with (
        open_keys(store.path, clock=StillClock()) as keys,
        store.open(seal=keys.seal) as ledger,
    ):
        await ledger.reserve(hold("req_1", *claims))
        await ledger.commit(settlement("req_1", *charges))
        await ledger.reserve(hold("req_2", claim(3, 1000, scope=TOKENS, window=TODAY)))
        await ledger.commit(settlement("req_2"))


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path)
    asyncio.run(used(store))
    yield store
    assert store.faults() == ()


def run(store, *words):
    return CliRunner().invoke(cli, ["limits", *words, "--ledger", str(store.path)])


def test_list_shows_what_stands_on_every_counter_that_is_in_force(store):
    told = run(store, "list").stdout
    assert "75 %" in told
    assert "$ 1.500000" in told
    assert OVER not in told
    found = {each["scope"]: each for each in json.loads(run(store, "list", "--json").stdout)}
    assert set(found) == {TOKENS, MONEY}
    assert (found[TOKENS]["used"], found[TOKENS]["held"], found[TOKENS]["ceiling"]) == (750, 0, 1000)


def test_reset_says_from_what_and_leaves_a_row_that_says_by_whom(store):
    told = run(store, "reset", TOKENS)
    assert (told.exit_code, told.stdout) == (0, "")
    assert f"{TOKENS} from " in told.stderr
    assert "was 750, is 0" in told.stderr
    assert store.balance(TOKENS) == (0, 0)
    assert store.balance(MONEY) == (1_500_000_000, 0)
    [(who, entries)] = store.query("SELECT key_id, entries FROM rows WHERE kind = 'reset'")
    assert who.startswith("os:")
    assert json.loads(entries) == [[TOKENS, TODAY, "tokens", -750]]


@pytest.mark.parametrize("counter", ["nobody's", OVER])
def test_a_counter_that_is_not_in_force_is_a_sentence_and_status_1(store, counter):
    told = run(store, "reset", counter)
    assert told.exit_code == 1
    assert f"no counter in force is named {counter}; see `fallthrough limits list`" in told.stderr
    assert store.query("SELECT 1 FROM rows WHERE kind = 'reset'") == []


def test_where_there_is_no_ledger_none_is_made(tmp_path):
    for words in (("list",), ("reset", TOKENS)):
        told = run(SqliteStore(tmp_path), *words)
        assert told.exit_code == 1
        assert "there is no ledger here" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_reset_tells_programs_what_was(store):
    told = json.loads(run(store, "reset", TOKENS, "--json").stdout)
    assert told == [{"scope": TOKENS, "window_start": TODAY, "was": 750}]
