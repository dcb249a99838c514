"""A process to be killed: 64 callers on one ledger, each acknowledgement told on standard output.

Run as `python -m tests.store.crash_writer PLACE RUN [FAILPOINT NTH]`. With a failpoint (`failpoints.py`) it
kills itself there; if it is never reached, the process ends well after a few thousand acknowledgements.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from proxy.holds import Granted, Progress
from proxy.place import database_of
from proxy.store import open_ledger
from proxy.store.anchor import Cadence
from proxy.store.pace import Pace
from proxy.usage import Usage
from tests.store.failpoints import arm
from tests.store.making import StillClock, charge, claim, hold, settlement

CALLERS = 64
TURNS = 10
"""Of each caller, where the process is to end by itself."""
PACE = Pace(wal_pages=64, dead_s=0.0, heads=Cadence(rows=100))
"""So that it checkpoints, tells heads and buries its predecessors within few turns."""


def told(line):
    os.write(1, f"{line}\n".encode())


async def caller(ledger, name, dice, turns):
    turn = 0
    while turn != turns:
        call_id, turn = f"{name}-{turn}", turn + 1
        assert isinstance(await ledger.reserve(hold(call_id, claim(10, 10**12))), Granted)
        told(f"reserve {call_id}")
        if dice.random() < 0.2:
            await asyncio.sleep(0)
        used = dice.randrange(10)
        if dice.random() < 0.3:
            charges = (charge(used),)
            ledger.note(Progress(call_id, Usage(1, used), 0, "vllm", "m", charges))
        if dice.random() < 0.8:
            await ledger.commit(settlement(call_id, charge(used)))
            told(f"commit {call_id}")
        else:
            await ledger.release(settlement(call_id))
            told(f"release {call_id}")


async def main(place, run, turns):
    dice = random.Random(run)
    async with (
        open_ledger(place, clock=StillClock(), on_alert=print, pace=PACE) as ledger,
        asyncio.TaskGroup() as group,
    ):
        for number in range(CALLERS):
            group.create_task(caller(ledger, f"r{run}-{number}", dice, turns))


if __name__ == "__main__":
    finite = len(sys.argv) > 3
    if finite:
        arm("postgres" if database_of(sys.argv[1]) else "sqlite", sys.argv[3], int(sys.argv[4]))
    asyncio.run(main(database_of(sys.argv[1]) or Path(sys.argv[1]), sys.argv[2], TURNS if finite else -1))
