"""The duty that keeps `privacy.retention`: rows that are older are taken away, by whole segments.

It looks once an hour, and within a minute where the table was edited. Old is told by the wall clock:
a machine whose clock is far ahead takes away more than it should, and what is gone is gone.
"""

import logging
from collections.abc import Callable

from proxy.duties.supervisor import Sleep
from proxy.ports import Act, Clock, Declined, Dice, Steward
from proxy.table import Table

log = logging.getLogger("proxy.ledger")

LOOK_S = 60.0
EVERY_S = 3600.0

WHO = "retention"
"""Stands in the audit row for whoever wrote the table."""


async def keep_retention(
    table: Callable[[], Table], steward: Steward, clock: Clock, dice: Dice, sleep: Sleep
) -> None:
    """Prune for ever."""
    kept_s, due_s = None, clock.mono()
    while True:
        asked_s = table().privacy.retention_s
        if asked_s is not None and (asked_s != kept_s or clock.mono() >= due_s):
            due_s = clock.mono() + EVERY_S
            now_us = clock.wall_us()
            await _prune(steward, Act(f"prune_{dice.token()}", now_us, WHO), now_us - round(asked_s * 1e6))
        kept_s = asked_s
        await sleep(LOOK_S)


async def _prune(steward: Steward, act: Act, before_us: int) -> None:
    try:
        rows = await steward.prune(act, before_us)
    except Declined as declined:
        log.error("old rows are not pruned: %s", declined)  # noqa: TRY400 - its words are all there is to tell
        return
    if rows:
        log.info("old rows were pruned", extra={"rows": rows})
