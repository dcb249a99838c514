"""`--ledger` takes a file or a database, and shows nobody's password."""

import pytest
from click.testing import CliRunner

from proxy.cli import cli

SECRET = "hunter2"
COMMANDS = (
    ("keys", "list"),
    ("usage",),
    ("limits", "list"),
    ("limits", "reset", "c"),
    ("ledger", "verify"),
    ("ledger", "check"),
    ("ledger", "prune", "--before", "90d"),
    ("ledger", "erase", "--tenant", "acme", "--user", "alice"),
    ("ledger", "export", "--tenant", "acme"),
)


def with_ledger(command, place):
    words = (
        [command[0], "--ledger", place, *command[1:]]
        if command[0] == "keys"
        else [*command, "--ledger", place]
    )
    return CliRunner().invoke(cli, words)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_url_that_cannot_be_is_a_usage_error_without_its_password(command):
    told = with_ledger(command, f"postgresql://me:{SECRET}@db")
    assert told.exit_code == 2
    assert "without the name of a database; write postgresql://USER@HOST/DATABASE" in told.stderr
    assert SECRET not in told.output


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if each[0] == "keys" or each[1:2] == ("erase",)], ids=" ".join
)
def test_a_server_that_is_not_there_is_a_sentence_without_its_password(command, tmp_path):
    told = with_ledger(command, f"postgresql://me:{SECRET}@/ledger?host={tmp_path}")
    assert told.exit_code == 1
    assert "PostgreSQL cannot be used" in told.stderr
    assert SECRET not in told.output


def test_a_database_without_a_ledger_gets_none_from_who_only_asks(database):
    told = with_ledger(("ledger", "erase", "--tenant", "acme", "--user", "alice"), database.url)
    assert told.exit_code == 1
    assert "there is no ledger here" in told.stderr
    assert with_ledger(("limits", "list"), database.url).exit_code == 1


def test_keys_are_made_listed_and_revoked_in_a_database(database):
    made = CliRunner().invoke(cli, ["keys", "--ledger", database.url, "create", "--tenant", "acme"])
    assert made.exit_code == 0
    assert made.stdout.startswith("ft-")
    key_id = made.stderr.split(":")[0]
    listed = CliRunner().invoke(cli, ["keys", "--ledger", database.url, "list"])
    assert key_id in listed.stdout
    for status in (0, 1):
        revoked = CliRunner().invoke(cli, ["keys", "--ledger", database.url, "revoke", key_id])
        assert revoked.exit_code == status
