"""Everything in force at one moment: the table and the live health of its upstreams.

A call takes one snapshot when it arrives and keeps it to the end, so that a new table changes only
later calls. Nothing here does I/O; `app.py` builds the first one.
"""

from msgspec import Struct

from proxy.policy.health import Health
from proxy.table import Table


class Snapshot(Struct, frozen=True):
    """One table with the health that belongs to it."""

    table: Table
    health: Health
    """Shared by all calls of this snapshot; breakers and cool-downs change inside it."""
