"""The command line: one file per command, listed here in the order people meet them."""

import click

from proxy.cli.check import check
from proxy.cli.explain import explain_call
from proxy.cli.health import health
from proxy.cli.importing import importing
from proxy.cli.keys import keys
from proxy.cli.ledger import ledger
from proxy.cli.limits import limits
from proxy.cli.rehearse import rehearse_command
from proxy.cli.serve import serve
from proxy.cli.simulate import simulate
from proxy.cli.usage import usage


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fallthrough")
def cli() -> None:
    """An OpenAI-compatible proxy that falls through to whichever upstream answers."""


for command in (
    *(serve, check, explain_call, simulate, rehearse_command),
    *(keys, usage, limits, ledger, importing, health),
):
    cli.add_command(command)
