"""What a table means for every call alike, made ready once.

A `Snapshot` has the terms of its table; `judgement.py` judges calls by them. Nothing here hangs on a call, on
health or on the time.
"""

from collections.abc import Mapping

from msgspec import Struct

from proxy.policy.meters import Meters
from proxy.policy.selection import Lineup
from proxy.table import Table


class Terms(Struct, frozen=True):
    """A table, ready for calls."""

    table: Table
    lineups: Mapping[str, Lineup]
    """By the `model` of their routes; of two routes of one `model` the second answers nobody."""
    meters: Meters

    @classmethod
    def of(cls, table: Table) -> "Terms":
        lineups = {route.model: Lineup.of(table, route) for route in reversed(table.routes)}
        return cls(table, lineups, Meters.of(table))
