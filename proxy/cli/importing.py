"""`fallthrough import`: a table out of what another system is configured by.

The table goes to standard output or to a new file, what has to be known about it to standard error: what
could not be carried over and why, what means a little else here, and which variables to set. Exit status
0: a table was written, and `fallthrough check` finds no fault in it; 1: none was. No secret is ever printed.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from proxy.config import ConfigError
from proxy.config.importing import Imported, NothingToImport, from_environment, from_litellm, read_env_file
from proxy.config.importing.dotenv import Variables

Command = TypeVar("Command", bound=Callable[..., Any])
READ_MAX = 1024 * 1024 + 1
"""One byte more than the readers take, so that they can tell."""


def with_output(command: Command) -> Command:
    """The two options of every importer, as `output` and `as_json`."""
    output = click.option(
        "--output",
        type=click.Path(path_type=Path),
        help="A new file for the table; without: standard output.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Table and report as one JSON document.")
    return output(as_json(command))


@click.group(name="import")
def importing() -> None:
    """Make a table of what another system is configured by."""


@importing.command(epilog="Example: fallthrough import env --env-file .env --output proxy.yaml")
@click.option("--env-file", type=click.Path(path_type=Path), help="Read this, not the environment.")
@with_output
def env(env_file: Path | None, output: Path | None, as_json: bool) -> None:
    """Read the variables of a system that calls the vendors itself."""

    def read() -> Imported:
        if env_file is None:
            return from_environment(Variables("the environment", dict(os.environ), {}))
        return from_environment(read_env_file(str(env_file), _bytes(env_file)))

    _import(read, output, as_json=as_json)


@importing.command(epilog="Example: fallthrough import litellm config.yaml --output proxy.yaml")
@click.argument("config", type=click.Path(path_type=Path))
@with_output
def litellm(config: Path, output: Path | None, as_json: bool) -> None:
    """Read a LiteLLM config.yaml."""
    _import(lambda: from_litellm(str(config), _bytes(config)), output, as_json=as_json)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(READ_MAX)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise click.ClickException(f"{path}: it cannot be read ({reason})") from error


def _import(read: Callable[[], Imported], output: Path | None, *, as_json: bool) -> None:
    try:
        made = read()
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        sys.exit(1)
    except NothingToImport as error:
        raise click.ClickException(str(error)) from error
    if output is not None:
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(made.text)
        except OSError as error:
            raise click.ClickException(f"{output}: {error.strerror}") from error
    if as_json:
        click.echo(orjson.dumps(made.as_json(), option=orjson.OPT_INDENT_2))
        return
    for note in made.notes:
        click.echo(str(note), err=True)
    if output is None:
        click.echo(made.text, nl=False)
    else:
        click.echo(f"{output} is written; `fallthrough check {output}` says what will be in force", err=True)
