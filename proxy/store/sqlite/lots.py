"""Many rows in one statement: SQLite opens its trees once for all of them, and Python is let go once.

The driver gives Python's lock away for each step of a statement, so that on a busy machine a row that goes in
by itself may cost a change of threads besides. `tables.py` writes with these; a number of rows is cut into
powers of two, so that the statements are few and stay prepared.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import apsw

SIZES = (32, 16, 8, 4, 2, 1)
"""Rows of one statement. More gain nothing: what is spent once a statement is small beside 32 rows."""


class Lots:
    """One statement for so many rows of values."""

    def __init__(self, before: str, width: int, after: str = "") -> None:
        row = f"({', '.join('?' * width)})"
        self._texts = [(size, f"{before} {', '.join([row] * size)} {after}") for size in SIZES]

    def write(self, connection: apsw.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Carry it out for all of these, in order."""
        at, left = 0, len(rows)
        for size, text in self._texts:
            while left >= size:
                connection.execute(text, tuple(chain.from_iterable(rows[at : at + size])))
                at, left = at + size, left - size
