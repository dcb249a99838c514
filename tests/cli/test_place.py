"""`--ledger` takes a file or a database, and shows nobody's password."""

import pytest
from click.testing import CliRunner

from proxy.cli import cli

FAULTY = """
settings: {{ledger: "sqlite:///{folder}/ledger.db"}}
upstreams: {{openai: {{api_key: "${{VENDOR_KEY_OF_NOBODY}}"}}}}
routs: [{{model: m, targets: [openai/m]}}]
"""
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


def test_a_key_is_revoked_though_the_table_has_faults_and_the_shell_no_key_of_a_vendor(tmp_path):
    table = tmp_path / "table.yaml"
    table.write_text(FAULTY.format(folder=tmp_path / "made"))

    def run(*words):
        return CliRunner().invoke(cli, ["keys", "--config", str(table), *words])

    made = run("create", "--tenant", "acme")
    assert made.exit_code == 0
    assert run("revoke", made.stderr.split(":")[0]).exit_code == 0
    assert (tmp_path / "made" / "keys.db").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_does_not_say_where_the_ledger_is_is_told_with_the_way_around_it(command, tmp_path):
    table = tmp_path / "table.yaml"
    table.write_text("settings: {leger: x}")
    first = command[:1] if command[0] == "keys" else command
    told = CliRunner().invoke(cli, [*first, "--config", str(table), *command[len(first) :]])
    assert told.exit_code == 1
    assert "settings.leger: unknown key; did you mean `ledger`?" in told.stderr
    assert "--ledger FILE|URL names it directly" in told.stderr


def test_without_either_option_it_is_where_a_proxy_without_a_file_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FALLTHROUGH_LEDGER", f"sqlite:///{tmp_path}/mine/ledger.db")
    assert CliRunner().invoke(cli, ["keys", "create", "--tenant", "acme"]).exit_code == 0
    assert (tmp_path / "mine" / "keys.db").exists()
