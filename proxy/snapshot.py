"""Everything in force at one moment: the table and the live health of its upstreams.

A call takes one snapshot when it arrives and keeps it to the end, so that a new table changes only
later calls. Nothing here does I/O; `app.py` builds the first one.
"""

from msgspec import Struct

from proxy.policy.health import Health
from proxy.policy.terms import Terms
from proxy.table import Table


class Snapshot(Struct, frozen=True):
    """The terms of one table with the health that belongs to it."""

    terms: Terms
    health: Health
    """Shared by all calls of this snapshot; breakers and cool-downs change inside it."""

    @property
    def table(self) -> Table:
        """What the terms are made of."""
        return self.terms.table
