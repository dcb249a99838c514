"""Every command says how it is used, and those that tell something tell it to programs too."""

import click
import pytest

from proxy.cli import cli

SILENT = {"serve", "simulate", "health", "keys revoke", "ledger export", "ledger public-key"}
"""They serve, or what they print is one word or a file of its own, which programs read as it is."""


def walked(command, path=()):
    """Every command that does something, by its words."""
    context = click.Context(command, info_name=path[-1] if path else "fallthrough")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from walked(command.get_command(context, name), (*path, name))
    else:
        yield " ".join(path), command.get_help(context)


COMMANDS = dict(walked(cli))


def test_all_commands_are_looked_at():
    assert {"serve", "check", "explain", "rehearse", "keys create", "import litellm"} <= COMMANDS.keys()
    assert COMMANDS.keys() >= SILENT


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_ends_with_an_example_of_it(name):
    _, found, example = COMMANDS[name].rpartition("Example")
    assert found
    first, *rest = name.split()
    assert f"fallthrough {first}" in example
    assert all(word in example for word in rest)


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - SILENT))
def test_what_is_told_is_told_to_programs_too(name):
    assert "--json" in COMMANDS[name]
