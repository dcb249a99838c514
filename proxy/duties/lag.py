"""The duty that looks how late the loop is: it asks to be woken, and sees when it was.

`app.py` runs it, hands its `Lag` to the gate and to the metrics. When callers begin to be turned away, and
when that is over, one line of the log says so; each of them is counted by the gate.
"""

import logging

from proxy.duties.supervisor import Sleep
from proxy.policy.lag import Lag
from proxy.ports import Clock

log = logging.getLogger("proxy.load")

EVERY_S = 0.1


async def watch_lag(lag: Lag, clock: Clock, sleep: Sleep) -> None:
    """Look for ever."""
    while True:
        due = clock.mono() + EVERY_S
        await sleep(EVERY_S)
        now = clock.mono()
        if not lag.looked(max(0.0, now - due), now):
            continue
        told = {"lag_s": round(lag.now_s, 3)}
        if lag.shedding:
            log.warning("the loop is late; new calls are turned away", extra=told)
        else:
            log.info("the loop is in time again; new calls are taken", extra=told)
