"""The command line: one file per command, listed here in the order people meet them.

A command's file is read when it is asked for: a kubelet that asks every few seconds how the proxy is
does not wait for what plays game days, and who serves does not carry it.
"""

from collections.abc import Mapping
from importlib import import_module

import click

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("proxy.cli.serve", "serve"),
    "check": ("proxy.cli.check", "check"),
    "explain": ("proxy.cli.explain", "explain_call"),
    "simulate": ("proxy.cli.simulate", "simulate"),
    "rehearse": ("proxy.cli.rehearse", "rehearse_command"),
    "keys": ("proxy.cli.keys", "keys"),
    "usage": ("proxy.cli.usage", "usage"),
    "limits": ("proxy.cli.limits", "limits"),
    "ledger": ("proxy.cli.ledger", "ledger"),
    "import": ("proxy.cli.importing", "importing"),
    "health": ("proxy.cli.health", "health"),
}
"""Name → module and what it calls the command."""


class Commands(click.Group):
    """All commands, of which only the one that is asked for is read."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them; None: there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fallthrough")
def cli() -> None:
    """An OpenAI-compatible proxy that falls through to whichever upstream answers."""
