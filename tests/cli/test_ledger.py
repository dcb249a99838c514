"""`fallthrough ledger`, as an operator types it, and the second verifier as an auditor does."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from msgspec.structs import replace

from proxy.cli import cli
from proxy.store import heads, open_keys
from proxy.store.pem import key_in
from proxy.store.seal import Seal
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


def second(path, *words, python=("-I",)):
    command = [sys.executable, *python, str(SECOND), str(path), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def key_of(path):
    return run("public-key", "--ledger", path).stdout.strip()


def changed(path):
    with attacker.breaking_in(path) as connection:
        connection.execute("UPDATE rows SET nano_usd = 0 WHERE seq = 4")


async def test_a_whole_ledger_is_told_so_with_the_head_to_keep(path):
    told = run("verify", "--ledger", path)
    assert told.exit_code == 0
    checked = f"signatures checked by key {heads.read(path)[0].key_id}"
    assert f"4 rows, 0 segments, 1 heads ({checked})\n" in told.stdout
    assert told.stdout.endswith("The ledger is whole.\n")
    [head] = [line.removeprefix("head ") for line in told.stdout.splitlines() if line.startswith("head ")]
    assert run("verify", "--ledger", path, "--head", head).exit_code == 0
    other = second(path, "--head", head, "--public-key", key_of(path))
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


@pytest.fixture
def alone(path, tmp_path):
    """What an auditor is given: the ledger and its heads, and no `keys.db`."""
    folder = tmp_path / "auditor"
    folder.mkdir()
    for each in (path, heads.heads_path(path)):
        shutil.copy(each, folder)
    return folder / path.name


@pytest.fixture
def key_files(path, tmp_path):
    """The public key in every form in which it may be given."""
    digits, pem = tmp_path / "key.hex", tmp_path / "key.pem"
    digits.write_text(run("public-key", "--ledger", path).stdout)
    pem.write_text(run("public-key", "--ledger", path, "--pem").stdout)
    return digits, pem, key_of(path), key_of(path).upper()


async def test_the_public_key_alone_checks_the_signatures(alone, key_files):
    for given in key_files:
        told = json.loads(run("verify", "--ledger", alone, "--public-key", given, "--json").stdout)
        expected = (True, True, key_in(key_files[2]).key_id)
        assert (told["whole"], told["signed"], told["key_id"]) == expected
        other = second(alone, "--public-key", given)
        assert (other.returncode, other.stdout) == (0, "whole\n")
    assert not alone.with_name("keys.db").exists()


async def test_a_head_signed_anew_with_another_key_is_seen_by_both(alone, key_files):
    thief = Seal(b"o" * 32)
    [head] = heads.read(alone)
    forged = replace(head, at_us=head.at_us + 1, key_id=thief.public_key.key_id)
    forged = replace(forged, signature=thief.sign(forged.signed_bytes()))
    heads.heads_path(alone).write_bytes(heads.dump(forged))
    told = run("verify", "--ledger", alone, "--public-key", key_files[0])
    expected = f"heads file, line 1: not signed by key {key_in(key_files[2]).key_id}"
    assert (told.exit_code, told.stdout.splitlines()[0]) == (1, expected)
    assert second(alone, "--public-key", key_files[0]).stdout == "head 1: not signed by this key\nNOT whole\n"
    told = run("verify", "--ledger", alone, "--public-key", thief.public_key.hex)
    assert told.exit_code == 0, "to who believes the thief's key it is whole"


async def test_a_signature_that_is_not_exactly_the_one_is_seen_by_both(alone, key_files):
    [head] = heads.read(alone)
    flipped = [f"{int(head.signature, 16) ^ 1 << bit:0128x}" for bit in (0, 255, 256, 511)]
    for signature in (*flipped, head.signature.upper(), head.signature[:-2], head.signature + " ", "", None):
        heads.heads_path(alone).write_bytes(heads.dump(replace(head, signature=signature)))
        assert run("verify", "--ledger", alone, "--public-key", key_files[2]).exit_code == 1
        assert second(alone, "--public-key", key_files[2]).returncode == 1


async def test_the_key_given_counts_and_not_the_one_beside_the_ledger(path):
    told = run("verify", "--ledger", path, "--public-key", Seal(b"o" * 32).public_key.hex)
    assert told.exit_code == 1
    assert "not signed by key" in told.stdout


OF_A_CURVE_NOBODY_ASKED_FOR = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("ab" * 31, "a public key has 64 hexadecimal digits, this has 62"),
        ("ab" * 33, "a public key has 64 hexadecimal digits, this has 66"),
        ("a" * 63, "a public key has 64 hexadecimal digits, this has 63"),
        ("", "neither 64 hexadecimal digits nor a PEM"),
        ("g" * 64, "neither 64 hexadecimal digits nor a PEM"),
        (b"\xff\x00" * 32, "neither 64 hexadecimal digits nor a PEM"),
        ("-----BEGIN PUBLIC KEY-----", "this PEM holds no public key that can be read"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "this PEM holds no public key"),
        (OF_A_CURVE_NOBODY_ASKED_FOR, "of another kind than Ed25519"),
    ],
    ids=["short", "long", "odd", "empty", "letters", "bytes", "torn", "hollow", "another kind"],
)
async def test_what_is_no_public_key_is_said_to_be_none(path, tmp_path, content, problem):
    file = tmp_path / "given"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    told = run("verify", "--ledger", path, "--public-key", file)
    assert (told.exit_code, problem in told.stderr) == (2, True)
    assert "Traceback" not in told.stderr
    other = second(path, "--public-key", file)
    assert (other.returncode, "argument --public-key: this is no" in other.stderr) == (2, True)


async def test_digits_of_another_length_and_a_file_that_is_not_there_are_told_apart(path, tmp_path):
    told = run("verify", "--ledger", path, "--public-key", "ab" * 20)
    assert (told.exit_code, "64 hexadecimal digits, this has 40" in told.stderr) == (2, True)
    told = run("verify", "--ledger", path, "--public-key", tmp_path / "none.pem")
    assert (told.exit_code, "No such file or directory; give 64" in told.stderr) == (2, True)


async def test_a_public_key_is_a_pem_that_other_programs_read(path):
    told = run("public-key", "--ledger", path, "--pem")
    assert load_pem_public_key(told.stdout.encode()).public_bytes_raw().hex() == key_of(path)
    assert told.stderr == f"Heads name it {heads.read(path)[0].key_id}.\n"


async def test_where_there_is_no_key_none_is_made_up(tmp_path):
    told = run("public-key", "--ledger", tmp_path / "ledger.db")
    assert (told.exit_code, "there is no key here" in told.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


async def test_a_key_file_whose_secret_is_no_key_is_refused_in_a_sentence(path):
    with closing(sqlite3.connect(path.with_name("keys.db"))) as connection, connection:
        connection.execute("UPDATE secrets SET value = x'00' WHERE name = 'heads'")
    for words in (("public-key",), ("verify",)):
        told = run(*words, "--ledger", path)
        assert (told.exit_code, "the key that signs heads is no key" in told.stderr) == (1, True)


async def test_the_second_verifier_says_what_it_lacks_to_check_signatures(path):
    nothing_installed = ("-I", "-S")
    bare = second(path, python=nothing_installed)
    assert (bare.returncode, bare.stdout) == (0, "whole\n"), "the rest needs nothing"
    lacking = second(path, "--public-key", key_of(path), python=nothing_installed)
    assert lacking.returncode == 2
    assert "to check signatures, install the package `cryptography`" in lacking.stderr
