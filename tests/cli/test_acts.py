"""`fallthrough ledger erase`, as an operator types it where no proxy runs."""

import asyncio

import pytest
from click.testing import CliRunner

from proxy.cli import cli
from proxy.store import open_keys
from tests.store.making import StillClock, claim, hold, settlement
from tests.store.stores import SqliteStore

ALICE = "alice@example.com"


async def used(store):
    async with (
        open_keys(store.path.with_name("keys.db"), clock=StillClock()) as keys,
        store.open(seal=keys.seal) as ledger,
    ):
        await keys.pseudonym("acme", ALICE)
        await ledger.reserve(hold("req_1", claim(10)))
        await ledger.commit(settlement("req_1"))


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path)
    asyncio.run(used(store))
    yield store
    assert store.faults() == ()


def run(store, *words, stdin=None):
    return CliRunner().invoke(cli, [*words, "--ledger", str(store.path)], input=stdin)


def erase(store, user, tenant="acme", **options):
    return run(store, "ledger", "erase", "--tenant", tenant, "--user", user, **options)


@pytest.mark.parametrize("stdin", [f"{ALICE}\n", f"{ALICE}\r\n", ALICE])
def test_an_id_may_come_from_standard_input_so_that_no_history_keeps_it(store, stdin):
    told = erase(store, "-", stdin=stdin)
    assert (told.exit_code, told.stdout) == (0, "")
    assert "Erased" in told.stderr
    assert ALICE not in told.output
    assert [kind for (kind,) in store.query("SELECT kind FROM rows ORDER BY seq")][-1] == "erase"


def test_nobody_of_that_id_is_a_sentence_and_status_1(store):
    for user, tenant in (("bob", "acme"), (ALICE, "globex")):
        told = erase(store, user, tenant)
        assert told.exit_code == 1
        assert f"nobody of this id is known in tenant {tenant}" in told.stderr


def test_an_empty_id_is_a_usage_error(store):
    assert erase(store, "").exit_code == 2
    assert erase(store, "-", stdin="").exit_code == 2


def test_where_there_is_no_ledger_none_is_made(tmp_path):
    told = erase(SqliteStore(tmp_path), ALICE)
    assert told.exit_code == 1
    assert "there is no ledger here" in told.stderr
    assert list(tmp_path.iterdir()) == []
