"""`fallthrough keys`, as an operator types it."""

import json
import re
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli.keys import keys
from proxy.store.sqlite.keys import SqliteKeys


@pytest.fixture
def run(tmp_path):
    def run(*words):
        return CliRunner().invoke(keys, ["--ledger", str(tmp_path / "ledger.db"), *words])

    return run


def create(run, *words):
    """The id and the text of a new key."""
    made = run("create", "--tenant", "acme", *words)
    assert made.exit_code == 0
    return made.stderr.split(":")[0], made.stdout.strip()


def test_a_new_key_is_alone_on_standard_output(run, tmp_path):
    key_id, text = create(run, "--name", "laptop")
    assert re.fullmatch(r"ft-[0-9a-f]{48}", text)
    assert key_id.startswith("key_")
    assert (tmp_path / "keys.db").exists()


def test_list_shows_all_but_the_text(run):
    key_id, text = create(run, "--name", "laptop", "--days", "30")
    listed = run("list").stdout
    assert all(word in listed for word in (key_id, "acme", "laptop"))
    assert text not in listed


def test_revoke_and_rotate_say_what_they_did(run):
    key_id, text = create(run)
    rotated = run("rotate", key_id)
    assert rotated.stdout.strip() not in ("", text)
    assert run("revoke", key_id).exit_code == 0
    for words in (("revoke", key_id), ("rotate", key_id), ("revoke", "key_unknown")):
        refused = run(*words)
        assert refused.exit_code == 1
        assert "no such key" in refused.stderr


@pytest.mark.parametrize("words", [("list",), ("revoke", "key_1"), ("rotate", "key_1")], ids=" ".join)
def test_where_no_keys_are_kept_only_create_makes_some(tmp_path, words):
    place = tmp_path / "mistyped" / "ledger.db"
    refused = CliRunner().invoke(keys, ["--ledger", str(place), *words])
    assert refused.exit_code == 1
    assert f"{place}: no keys are kept here; name another ledger" in refused.stderr
    assert not place.parent.exists()


def test_the_first_key_of_a_place_says_so(run, tmp_path):
    first, second = run("create", "--tenant", "acme"), run("create", "--tenant", "acme")
    assert f"{tmp_path}/ledger.db: no keys were kept here before; this is the first." in first.stderr
    assert "before" not in second.stderr


def test_a_key_that_was_shown_and_could_not_be_kept_is_said_to_be_none(run, monkeypatch):
    key_id, _ = create(run)

    async def fail(store, sql, values):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(SqliteKeys, "_change", fail)
    for words in (("create", "--tenant", "acme"), ("rotate", key_id)):
        refused = run(*words)
        assert refused.exit_code == 1
        assert refused.stdout.startswith("ft-")
        assert "Do not use the key above: it may not be in force." in refused.stderr


def test_a_foreign_file_is_a_sentence_not_a_traceback(run, tmp_path):
    (tmp_path / "keys.db").write_bytes(b"no database" * 100)
    refused = run("list")
    assert refused.exit_code == 1
    assert "keys.db: SQLite cannot open it" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--tenant", ""),
        ("--tenant", "two words"),
        ("--tenant", "a\nb"),
        ("--tenant", "\udcff"),
        ("--tenant", "acme", "--name", "\x1b[31m"),
        ("--tenant", "acme", "--days", "999999999"),
        ("--tenant", "acme", "--days", "0"),
    ],
)
def test_a_name_or_a_term_that_cannot_be_is_a_usage_error(run, words):
    refused = run("create", *words)
    assert refused.exit_code == 2
    assert "Invalid value" in refused.stderr


def test_a_name_is_shown_as_it_was_given(run):
    create(run, "--name", "[red]laptop")
    assert "[red]laptop" in run("list").stdout


@pytest.mark.parametrize("place", ["a-file/ledger.db", "a-folder/ledger.db"])
def test_a_place_that_cannot_hold_keys_is_a_sentence_not_a_traceback(tmp_path, place):
    (tmp_path / "a-file").touch()
    (tmp_path / "a-folder" / "keys.db").mkdir(parents=True)
    words = ["--ledger", str(tmp_path / place), "create", "--tenant", "acme"]
    refused = CliRunner().invoke(keys, words)
    assert refused.exit_code == 1
    assert "keys.db: it cannot be made or opened" in refused.stderr


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_an_id_that_is_no_text_is_a_usage_error(run, command):
    assert run(command, "\udcff").exit_code == 2


def test_programs_read_keys_as_json(run):
    made = json.loads(run("create", "--tenant", "acme", "--name", "laptop", "--json").stdout)
    assert re.fullmatch(r"ft-[0-9a-f]{48}", made["text"])
    rotated = json.loads(run("rotate", made["key_id"], "--json").stdout)
    assert (rotated["key_id"], rotated["text"] == made["text"]) == (made["key_id"], False)
    listed = run("list", "--json").stdout
    (one,) = json.loads(listed)
    assert (one["key_id"], one["tenant"], one["name"], one["revoked_us"]) == (
        made["key_id"], "acme", "laptop", None,
    )  # fmt: skip
    assert made["text"] not in listed
    assert rotated["text"] not in listed


def test_a_folder_that_nobody_may_look_into_is_told(tmp_path, monkeypatch):
    def forbidden(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", forbidden)
    done = CliRunner().invoke(keys, ["--ledger", str(tmp_path / "ledger.db"), "list"])
    assert done.exit_code == 1
    assert "keys.db: it cannot be looked at (Permission denied); let this process read there" in done.output
