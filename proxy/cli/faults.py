"""The table that a command reads; or every fault of it on standard error, and the exit status of faults."""

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from proxy.config import ConfigError, Loaded, load

FAULTS = 2


def loaded_or_exit(file: Path | None, environ: Mapping[str, str]) -> Loaded:
    """What FILE says, or the environment alone; leaves with status 2 where it has faults."""
    try:
        return load(file, environ)
    except ConfigError as error:
        tell_faults(error)
        sys.exit(FAULTS)


def tell_faults(error: ConfigError) -> None:
    """One a line, ready for editors."""
    for fault in error.faults:
        click.echo(str(fault), err=True)
    count = len(error.faults)
    click.echo(f"{count} fault{'s' if count > 1 else ''}; nothing is in force", err=True)
