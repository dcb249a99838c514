"""Where tables are drawn: as wide as the terminal, wide enough for every column when piped, and plain.

Names in the ledger were chosen by callers: `cell` shows them as they are, and lets none be read as
markup or steer the operator's terminal.
"""

import io
import sys

from rich.console import Console
from rich.text import Text

PIPED_COLUMNS = 180


def screen(*, highlight: bool = True) -> Console:
    """A console on standard output as it is now; `highlight`: whether numbers and words get colours."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a line shows the words
    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS, highlight=highlight)


def cell(text: str) -> Text:
    """`text` for a table."""
    return Text("".join(char if char.isprintable() else "�" for char in text))
