"""Where a command finds the ledger: named outright, or by the configuration or the environment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from proxy.config import ConfigError, load_ledger
from proxy.config.units import SQLITE
from proxy.place import FORM, Place, database_of
from proxy.store import StoreRefused
from proxy.store.keys import exists, has_keys

DIRECTLY = "where the ledger is cannot be told from this; --ledger FILE|URL names it directly"

Command = TypeVar("Command", bound=Callable[..., Any])


class PlaceType(click.ParamType[Place]):
    """A ledger's file, or the URL of its database; or a file as the configuration writes it."""

    name = "ledger"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        try:
            return database_of(value) or Path(str(value).removeprefix(SQLITE))
        except ValueError as error:
            self.fail(f"{error}; write {FORM}", param, ctx)


def with_place(command: Command) -> Command:
    """The two options by which every command finds its ledger, as `path` and `config`."""
    named = click.option(
        "--ledger", "path", type=PlaceType(), metavar="FILE|URL", help=f"The ledger's file, or {FORM}."
    )
    configured = click.option(
        "--config", type=click.Path(exists=True, path_type=Path), help="The proxy's YAML file."
    )
    return named(configured(command))


def ledger_place(ledger: Place | None, config: Path | None) -> Place:
    """The ledger that `--ledger` or `--config` names, or the environment if there is neither.

    Of a configuration nothing else counts: who revokes a key need not first mend a table.
    """
    if ledger is not None:
        return ledger
    try:
        return load_ledger(config, os.environ)
    except ConfigError as error:
        raise click.ClickException(f"{error}\n{DIRECTLY}") from error


def existing_ledger(ledger: Place | None, config: Path | None) -> Place:
    """The same, for who would not make one."""
    place = ledger_place(ledger, config)
    if not _asked(exists, place):
        raise click.ClickException(f"{place}: there is no ledger here; name another")
    return place


def keys_are_kept(place: Place) -> bool:
    """Whether any were ever made for this ledger, which itself begins with the first start."""
    return _asked(has_keys, place)


def _asked(question: Callable[[Place], bool], place: Place) -> bool:
    """The answer of a store; what it refuses is told."""
    try:
        return question(place)
    except StoreRefused as error:
        raise click.ClickException(str(error)) from error
