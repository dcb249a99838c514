"""A process to be killed: 64 callers on one ledger, each acknowledgement told on standard output.

Run as `python -m tests.store.crash_writer PATH RUN [KILL_AT]`; with KILL_AT it kills itself while it
settles the KILL_AT-th call that an earlier run left open, before that is durable.
"""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from proxy.ports import Granted, Progress
from proxy.store import open_ledger
from proxy.store.journal import Journal
from proxy.usage import Usage
from tests.store.making import StillClock, charge, claim, hold, settlement

CALLERS = 64


def told(line):
    os.write(1, f"{line}\n".encode())


async def caller(ledger, name, dice):
    turn = 0
    while True:
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


async def main(path, run):
    dice = random.Random(run)
    async with open_ledger(path, clock=StillClock(), on_alert=print) as ledger, asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(ledger, f"r{run}-{number}", dice))


def die_while_recovering(kill_at):
    settle, seen = Journal._resolve, []

    def resolve(self, held, row, charged):
        settle(self, held, row, charged)
        seen.append(row)
        if len(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal._resolve = resolve


if __name__ == "__main__":
    if len(sys.argv) > 3:
        die_while_recovering(int(sys.argv[3]))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
