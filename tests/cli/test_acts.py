"""`fallthrough ledger erase` and `export`, as an operator types them where no proxy runs."""

import asyncio
import errno
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from proxy.cli import cli
from proxy.store import open_keys
from proxy.store.export import Export
from tests.kit.second import TOOLS
from tests.store.making import ACME, StillClock, claim, hold, settlement
from tests.store.stores import SqliteStore

ALICE = "alice@example.com"


async def used(store):
    async with (
        open_keys(store.path, clock=StillClock()) as keys,
        store.open(seal=keys.seal) as ledger,
    ):
        alice = replace(ACME, user=await keys.pseudonym("acme", ALICE))
        await ledger.reserve(replace(hold("req_1", claim(10)), identity=alice))
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


def second(*words):
    command = [sys.executable, "-I", str(TOOLS / "verify_export.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_export_to_a_folder_is_read_and_proved_by_a_program_that_is_not_ours(store, tmp_path):
    folder = tmp_path / "given" / "alice"
    told = run(store, "ledger", "export", "--tenant", "acme", "--user", ALICE, "--to", str(folder))
    assert (told.exit_code, told.stdout) == (0, "")
    assert "2 rows, 0 with a proof of their own" in told.stderr
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [row["kind"] for row in rows] == ["reserve", "commit"]
    assert set(rows[0]) == set(manifest["columns"]), "every column is explained"
    assert (folder / "rows.jsonl").stat().st_mode & 0o777 == 0o600
    key = run(store, "ledger", "public-key").stdout.strip()
    assert manifest["signed_by"]["public_key"] == key
    against = ("--public-key", key, "--ledger", store.path, "--head", json.dumps(manifest["head"]))
    judged = second(folder, *against)
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, "holds\n", "")
    assert second(folder, "--public-key", key).stdout == "holds\n"
    assert second(folder, "--public-key", "ab" * 32).returncode == 1
    assert "--public-key: this is no Ed25519 public key" in second(folder, "--public-key", key[:-2]).stderr
    (folder / "rows.jsonl").write_text("")
    assert second(folder).returncode == 1


def test_an_export_that_fails_leaves_nothing_in_the_way_of_the_next(store, tmp_path, monkeypatch):
    def full(export):
        raise OSError(errno.ENOSPC, "No space left on device")

    words = ("ledger", "export", "--tenant", "acme", "--to", str(tmp_path / "acme"))
    with monkeypatch.context() as failing:
        failing.setattr(Export, "manifest", full)
        told = run(store, *words)
    assert (told.exit_code, "acme: No space left on device" in told.stderr) == (1, True)
    assert not (tmp_path / "acme").exists()
    assert run(store, *words).exit_code == 0
    assert second(tmp_path / "acme").returncode == 0


def test_an_export_to_standard_output_ends_with_its_manifest(store, tmp_path):
    told = run(store, "ledger", "export", "--tenant", "acme")
    assert told.exit_code == 0
    assert json.loads(told.stdout.splitlines()[-1])["manifest"]["rows"] == 2
    (tmp_path / "export.jsonl").write_text(told.stdout)
    assert second(tmp_path / "export.jsonl", "--ledger", store.path).stdout == "holds\n"


def test_an_export_never_writes_over_a_folder_and_knows_whom_it_does_not_know(store, tmp_path):
    before = sorted(tmp_path.iterdir())
    told = run(store, "ledger", "export", "--tenant", "acme", "--to", str(tmp_path))
    assert (told.exit_code, "File exists" in told.stderr) == (1, True)
    told = run(store, "ledger", "export", "--tenant", "globex", "--user", ALICE)
    assert (told.exit_code, "nobody of this id is known" in told.stderr) == (1, True)
    assert sorted(tmp_path.iterdir()) == before


def test_without_keys_a_person_cannot_be_found_and_that_is_a_sentence(store, tmp_path):
    (tmp_path / "keys.db").unlink()
    told = run(store, "ledger", "export", "--tenant", "acme", "--user", ALICE)
    assert told.exit_code == 1
    assert "keys.db: SQLite cannot open it" in told.stderr


def test_an_erased_person_has_nothing_left_to_export(store):
    assert erase(store, ALICE).exit_code == 0
    assert run(store, "ledger", "export", "--tenant", "acme", "--user", ALICE).exit_code == 1


def test_acts_tell_programs_what_they_did(store):
    told = run(store, "ledger", "erase", "--tenant", "acme", "--user", ALICE, "--json")
    assert json.loads(told.stdout) == {"erased": True, "tenant": "acme"}
    assert json.loads(run(store, "ledger", "prune", "--before", "90d", "--json").stdout) == {"rows": 0}
