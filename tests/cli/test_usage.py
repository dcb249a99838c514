"""`fallthrough usage`, as an operator types it."""

import json

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from proxy.call import Passed
from proxy.cli.usage import usage
from tests.store.making import attempt, charge, claim, hold, settlement
from tests.store.stores import SqliteStore


@pytest.fixture
async def path(tmp_path):
    store = SqliteStore(tmp_path)
    async with store.open() as ledger:
        await ledger.reserve(hold("req_1", claim(10)))
        await ledger.commit(settlement("req_1", charge(8), nano_usd=1_500_000))
    return store.path


def run(path, *words):
    return CliRunner().invoke(usage, ["--ledger", str(path), *words])


async def test_sums_and_the_attempts_of_the_last_calls(path):
    told = run(path, "--calls", "5").stdout
    assert "0.001500" in told
    assert "100.0 %" in told
    assert "simulated-openai/model  overload  503  40 ms" in told
    assert "vllm/model  ok  200  40 ms" in told
    assert "req_1" in told


async def test_who_was_passed_over_stands_before_the_attempt_that_it_led_to(tmp_path):
    store = SqliteStore(tmp_path)
    asked = replace(attempt("vllm", "ok", 200), passed=(Passed("simulated-openai", "model", "open"),))
    async with store.open() as ledger:
        await ledger.reserve(hold("req_1", claim(10)))
        await ledger.commit(settlement("req_1", charge(8), attempts=(asked,)))
    told = run(store.path, "--calls", "1").stdout
    before, after = told.index("simulated-openai/model  not tried: open"), told.index("vllm/model  ok")
    assert before < after


async def test_json_holds_the_same(path):
    told = json.loads(run(path, "--calls", "1", "--json").stdout)
    assert told["usage"][0]["fallbacks"] == 1
    assert [attempt["status"] for attempt in told["calls"][0]["attempts"]] == [503, 200]


@pytest.mark.parametrize(
    ("since", "calls"), [("2025-12-31", 1), ("2026-01-02", 0), ("2026-01-01T00:00:00+01:00", 1)]
)
async def test_since_takes_a_day_or_a_time(path, since, calls):
    assert len(json.loads(run(path, "--since", since, "--json").stdout)["usage"]) == calls


async def test_since_takes_a_span_and_refuses_what_is_neither(path):
    assert run(path, "--since", "7d").exit_code == 0
    refused = run(path, "--since", "yesterday")
    assert refused.exit_code == 2
    assert "neither a span" in refused.stderr


async def test_another_tenant_has_nothing(path):
    assert json.loads(run(path, "--tenant", "globex", "--json").stdout) == {"usage": [], "calls": []}


def test_no_ledger_is_a_sentence_not_a_traceback(tmp_path):
    refused = run(tmp_path / "ledger.db")
    assert refused.exit_code == 1
    assert "there is no ledger here" in refused.stderr


async def test_a_name_that_a_caller_chose_is_neither_markup_nor_steers_the_terminal(tmp_path):
    odd = "[/bold]\x1b[2J\nx"
    store = SqliteStore(tmp_path)
    async with store.open() as ledger:
        ended = settlement("req_1")
        await ledger.reserve(replace(hold("req_1"), model=odd))
        await ledger.commit(replace(ended, outcome=replace(ended.outcome, model=odd)))
    told = run(store.path, "--calls", "1")
    assert told.exit_code == 0
    assert told.stdout.count("[/bold]�[2J�x") == 2


@pytest.mark.parametrize("words", [("--tenant", "\udcff"), ("--calls", "9" * 20), ("--calls", "-1")])
async def test_what_no_ledger_can_be_asked_is_a_usage_error(path, words):
    refused = run(path, *words)
    assert refused.exit_code == 2
    assert "Invalid value" in refused.stderr
