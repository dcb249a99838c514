"""A process to be killed: 64 callers for ever new persons, each told once it is in the ledger.

Run as `python -m tests.store.subject_writer FOLDER RUN`.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from msgspec.structs import replace

from proxy.store import open_keys, open_ledger
from tests.store.making import ACME, StillClock, hold, settlement

CALLERS = 64
PERSONS = 2000


async def caller(keys, ledger, name, dice):
    for turn in range(1_000_000):
        call_id, user = f"{name}-{turn}", f"person-{dice.randrange(PERSONS)}"
        pseudonym = await keys.pseudonym("acme", user)
        await ledger.reserve(replace(hold(call_id), identity=replace(ACME, user=pseudonym)))
        os.write(1, f"{user} {pseudonym}\n".encode())
        await ledger.commit(settlement(call_id))


async def main(folder, run):
    dice = random.Random(run)
    async with (
        open_keys(folder / "ledger.db", clock=StillClock()) as keys,
        open_ledger(folder / "ledger.db", clock=StillClock(), on_alert=print) as ledger,
        asyncio.TaskGroup() as group,
    ):
        for number in range(CALLERS):
            group.create_task(caller(keys, ledger, f"r{run}-{number}", dice))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
