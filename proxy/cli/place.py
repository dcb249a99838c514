"""Where a command finds the proxy's files: named outright, by the configuration, or by default."""

import os
from pathlib import Path

import click

from proxy import config as configuration

DEFAULT = Path("var/ledger.db")


def ledger_path(ledger: Path | None, config: Path | None) -> Path:
    """The ledger that `--ledger` or `--config` names; keys lie beside it."""
    if ledger is not None:
        return ledger
    if config is None:
        return DEFAULT
    try:
        loaded = configuration.load(config, os.environ)
    except configuration.ConfigError as error:
        raise click.ClickException("\n".join(str(fault) for fault in error.faults)) from error
    return loaded.settings.ledger


def existing_ledger(ledger: Path | None, config: Path | None) -> Path:
    """The same, for who would not make one."""
    place = ledger_path(ledger, config)
    if not place.exists():
        raise click.ClickException(f"{place}: there is no ledger here; name another file")
    return place


def keys_path(ledger: Path | None, config: Path | None) -> Path:
    return ledger_path(ledger, config).with_name("keys.db")
