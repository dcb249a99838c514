"""How a ledger fares, as metrics see it: what commits take, what waits, whether it writes."""

import asyncio
from itertools import count

import apsw
import pytest

from proxy.errors import Refused
from proxy.holds import COMMIT_BOUNDS_S
from proxy.store import open_ledger
from proxy.store.pace import Pace
from tests.store.making import StillClock, hold, settlement


async def test_each_commit_is_timed_and_sorted(tmp_path):
    ticks = count()
    pace = Pace(stopwatch=lambda: next(ticks) * 0.2)
    async with open_ledger(tmp_path / "ledger.db", clock=StillClock(), on_alert=print, pace=pace) as ledger:
        assert sum(ledger.pulse.commits) == 0
        await ledger.reserve(hold("c1"))
        await ledger.commit(settlement("c1"))
        pulse = ledger.pulse
    assert pulse.well
    assert pulse.waiting == 0
    assert pulse.commits[COMMIT_BOUNDS_S.index(0.25)] == sum(pulse.commits) == 2
    assert round(pulse.commit_s, 6) == 0.4


async def test_a_commit_that_fails_is_not_timed_and_the_ledger_is_not_well(tmp_path):
    pace = Pace(retry_s=0.001)
    async with open_ledger(tmp_path / "ledger.db", clock=StillClock(), on_alert=print, pace=pace) as ledger:
        tables = ledger._writer._backing.tables
        tables.connection = failing = NoCommit(tables.connection)
        with pytest.raises(Refused):
            await ledger.reserve(hold("c1"))
        assert (ledger.pulse.well, sum(ledger.pulse.commits)) == (False, 0)
        failing.failing = False
        while not ledger.pulse.well:  # noqa: ASYNC110 - the writer is another thread
            await asyncio.sleep(0)
        assert sum(ledger.pulse.commits) > 0


class NoCommit:
    """A connection that commits nothing."""

    def __init__(self, connection):
        self.connection, self.failing = connection, True

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql, *values):
        if self.failing and sql == "COMMIT":
            raise apsw.BusyError("locked")
        return self.connection.execute(sql, *values)
