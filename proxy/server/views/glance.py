"""What the ledger says to those who watch, asked off the loop.

All questions go to one thread of their own, one after another: no number of watchers can take the threads
that calls need, nor read the ledger twice at once. Sums for the operator are taken at most once a second;
a caller's own counters are looked up when it asks, for these are few.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from msgspec import Struct

from proxy.call import Identity
from proxy.errors import unavailable
from proxy.holds import Claim
from proxy.policy.periods import MICRO, window
from proxy.policy.scopes import escaped
from proxy.ports import Clock
from proxy.server.views.fresh import EVERY_S, SHARE, Fresh
from proxy.store import StoreRefused
from proxy.store.tables import Counted
from proxy.store.view import Counter, Crossed, Spend, View
from proxy.table import Every

ALERTS_MAX = 50

T = TypeVar("T")


class Overall(Struct, frozen=True):
    """Everything, for the operator."""

    counters: tuple[Counter, ...]
    alerts: tuple[Crossed, ...]


class Spent(Struct, frozen=True):
    """What was spent since a moment."""

    since_s: int
    spend: Spend


class Own(Struct, frozen=True):
    """What is a caller's own."""

    stands: Mapping[Counted, tuple[int, int]]
    day: Spent
    month: Spent
    alerts: tuple[Crossed, ...]


class Glance:
    """The ledger, looked at."""

    def __init__(self, view: View, clock: Clock, thread: ThreadPoolExecutor) -> None:
        self._view = view
        self._clock = clock
        self._thread = thread
        self._asking = asyncio.Lock()
        self._due = 0.0
        self._overall = Fresh(lambda: self._ask(self._look_over), clock.mono)

    async def overall(self) -> Overall:
        """Counters and alerts. Raises `Refused` 503 where the ledger cannot be read."""
        return await self._overall.get()

    async def own(self, identity: Identity, claims: tuple[Claim, ...]) -> Own:
        """How counters stand, and what was spent. Raises `Refused` 503 where the ledger cannot be read."""
        return await self._ask(lambda: self._look_up(identity, claims))

    async def _ask(self, work: Callable[[], T]) -> T:
        async with self._asking:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
            except StoreRefused as error:
                message = "The ledger cannot be read now."
                raise unavailable(message, "ledger_unavailable", retry_after_s=EVERY_S) from error

    # ── in the thread ─────────────────────────────────────────────────────────────────────────────

    def _look_over(self) -> Overall:
        self._look()
        return Overall(self._view.counters(self._clock.wall_us()), self._view.alerts()[:ALERTS_MAX])

    def _look_up(self, identity: Identity, claims: tuple[Claim, ...]) -> Own:
        self._look()
        now_us = self._clock.wall_us()
        heads = (f"tenant={escaped(identity.tenant)}", f"key={escaped(identity.key_id)}")
        return Own(
            self._view.stands(claim.counter for claim in claims),
            self._spent(identity.tenant, Every.DAY, now_us),
            self._spent(identity.tenant, Every.MONTH, now_us),
            self._view.alerts(*heads),
        )

    def _look(self) -> None:
        """Take in what came, unless that was done a moment ago."""
        began = self._clock.mono()
        if began < self._due:
            return
        self._view.look(window(Every.MONTH, self._clock.wall_us())[0] * MICRO)
        ended = self._clock.mono()
        self._due = ended + max(EVERY_S * 0.9, SHARE * (ended - began))

    def _spent(self, tenant: str, every: Every, now_us: int) -> Spent:
        start, end = window(every, now_us)
        return Spent(start, self._view.spent(tenant, (start * MICRO, end * MICRO)))


@asynccontextmanager
async def open_glance(view: View, clock: Clock) -> AsyncIterator[Glance]:
    """With its thread, which ends what it does when the context is left."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="views")
    try:
        yield Glance(view, clock, thread)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
