"""Where tables are drawn: as wide as the terminal, and wide enough for every column when piped."""

import sys

from rich.console import Console

PIPED_COLUMNS = 180


def screen() -> Console:
    """A console on standard output as it is now."""
    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS)
