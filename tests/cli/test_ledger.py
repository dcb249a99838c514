"""`fallthrough ledger`, as an operator types it, and the second verifier as an auditor does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import cli
from proxy.store import open_keys
from tests.store import attacker
from tests.store.making import StillClock, charge, claim, hold, settlement
from tests.store.stores import SqliteStore

SECOND = Path(__file__).parents[2] / "tools" / "verify_ledger.py"


@pytest.fixture
async def path(tmp_path):
    store = SqliteStore(tmp_path)
    async with (
        open_keys(tmp_path / "ledger.db", clock=StillClock()) as keys,
        store.open(seal=keys.seal) as ledger,
    ):
        for call_id in ("req_1", "req_2"):
            await ledger.reserve(hold(call_id, claim(10)))
            await ledger.commit(settlement(call_id, charge(8)))
    return store.path


def run(*words):
    return CliRunner().invoke(cli, ["ledger", *map(str, words)])


def second(path, *words):
    command = [sys.executable, "-I", str(SECOND), str(path), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def changed(path):
    with attacker.breaking_in(path) as connection:
        connection.execute("UPDATE rows SET nano_usd = 0 WHERE seq = 4")


async def test_a_whole_ledger_is_told_so_with_the_head_to_keep(path):
    told = run("verify", "--ledger", path)
    assert told.exit_code == 0
    assert "4 rows, 0 segments, 1 heads\n" in told.stdout
    assert told.stdout.endswith("The ledger is whole.\n")
    [head] = [line.removeprefix("head ") for line in told.stdout.splitlines() if line.startswith("head ")]
    assert run("verify", "--ledger", path, "--head", head).exit_code == 0
    other = second(path, "--head", head, "--keys", path.with_name("keys.db"))
    assert (other.returncode, other.stdout, other.stderr) == (0, "whole\n", "")


async def test_a_changed_row_is_named_and_the_exit_status_is_1(path):
    changed(path)
    told = run("verify", "--ledger", path)
    assert told.exit_code == 1
    assert "row 4 is not what was written: its hash does not fit" in told.stdout
    assert told.stdout.endswith("The ledger is NOT whole.\n")
    other = second(path)
    assert other.returncode == 1
    assert "row 4: not what was written, or not where" in other.stdout


async def test_json_holds_the_same(path):
    told = json.loads(run("verify", "--ledger", path, "--json").stdout)
    assert (told["whole"], told["rows"], told["heads"], told["signed"], told["faults"]) == (
        True,
        4,
        1,
        True,
        [],
    )
    changed(path)
    told = run("verify", "--ledger", path, "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["whole"] is False


async def test_a_head_that_does_not_fit_is_told(path):
    for head, problem in ((f"4:{'0' * 64}", "row 4 does not have the hash"), (f"9:{'0' * 64}", "cut short")):
        told = run("verify", "--ledger", path, "--head", head)
        assert (told.exit_code, problem in told.stdout) == (1, True)
        assert second(path, "--head", head).returncode == 1
    assert run("verify", "--ledger", path, "--head", "four").exit_code == 2


async def test_what_cannot_be_proved_is_said(path, tmp_path):
    path.with_name("keys.db").unlink()
    assert "signatures not checked" in run("verify", "--ledger", path).stdout
    alone = shutil.copy(path, tmp_path / "alone.db")
    assert "no heads: a file that was cut short looks whole" in run("verify", "--ledger", alone).stdout


async def test_check_replays_and_nothing_more(path):
    changed(path)
    told = run("check", "--ledger", path)
    assert (told.exit_code, told.stdout) == (0, "The ledger is whole.\n")
    with attacker.breaking_in(path) as connection:
        connection.execute("UPDATE balances SET used = 1")
    told = run("check", "--ledger", path)
    assert told.exit_code == 1
    assert "rows say used and held (16, 0), the balance (1, 0)" in told.stdout
    assert json.loads(run("check", "--ledger", path, "--json").stdout)["whole"] is False


async def test_no_ledger_is_told_in_a_sentence(tmp_path):
    for command in ("verify", "check"):
        told = run(command, "--ledger", tmp_path / "none.db")
        assert told.exit_code == 1
        assert "there is no ledger here" in told.output
