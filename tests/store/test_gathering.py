"""In a rush a flush waits for company; one request after the other waits for nobody."""

import asyncio

import pytest

from tests.store.making import claim, hold
from tests.store.stores import SqliteStore


class Noted:
    """What the writer waits on between two batches."""

    def __init__(self):
        self.waits = []

    def wait(self, seconds):
        self.waits.append(seconds)


@pytest.mark.parametrize(("together", "waits"), [(1, 0), (3, 0), (4, 1), (30, 1)])
async def test_only_a_batch_of_many_makes_the_next_one_wait(tmp_path, together, waits):
    async with SqliteStore(tmp_path).open() as ledger:
        writer = ledger._writer
        writer._never = noted = Noted()
        with writer._wake:  # the thread takes all of them at once, when this is let go
            asked = [asyncio.ensure_future(ledger.reserve(hold(f"c{n}", claim(1)))) for n in range(together)]
            await asyncio.sleep(0)  # each has queued
        await asyncio.gather(*asked)
        await ledger.reserve(hold("last", claim(1)))  # taken after whatever wait there was
    assert noted.waits == [writer._pace.gather_s] * waits
