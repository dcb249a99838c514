"""What a table means for calls, made ready once: the targets of its routes, and the limits upon callers.

A `Snapshot` has the terms of its table, and `judgement.py` judges calls by them; a new table has new ones.
Nothing here hangs on health.
"""

from collections.abc import Mapping

from msgspec import Struct

from proxy.policy.meters import Limits
from proxy.policy.selection import Lineup
from proxy.table import Table


class Terms(Struct, frozen=True):
    """A table, ready for calls."""

    table: Table
    lineups: Mapping[str, Lineup]
    """By the `model` of their routes; of two routes of one `model` the second answers nobody."""
    limits: Limits

    @classmethod
    def of(cls, table: Table) -> "Terms":
        lineups = {route.model: Lineup.of(table, route) for route in reversed(table.routes)}
        return cls(table, lineups, Limits.of(table))
