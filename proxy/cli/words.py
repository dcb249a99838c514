"""What may be typed for a name: click calls these on options and arguments of several commands."""

import re
import sys

import click

from proxy.config.forms import NAME


def tenant_name(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """A name that limits can be written for, and that no log or table is upset by."""
    if re.fullmatch(NAME, value) is None:
        raise click.BadParameter("write letters, digits and . _ : / @ + - (no spaces)")
    return value


def printable(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Any words that a terminal can show and a file can hold."""
    if value is not None and not value.isprintable():
        raise click.BadParameter("write printable characters")
    return value


def person(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """An end person's id, exactly as calls carry it; `-`: what stands on standard input."""
    if value == "-":
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if value == "":
        raise click.BadParameter("write an id")
    return value
