"""Alerts as small JSON documents, posted to one address of the operator's choice.

`app.py` puts `WebhookAlerts` among the observers and runs `deliver` as a duty. An alert waits in a short
queue, so that no call and no ledger ever waits for a stranger's server; it is tried a few times, then
given up and told to the log, which has every alert anyway. The address is a secret and never shown. A
document holds a counter's name and numbers; whom a person's counter is about is left out. Redirects are
not followed: the operator names the address, nobody else does.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

from proxy.call import UpstreamLost
from proxy.holds import Alert
from proxy.ports import Observer
from proxy.table import Secret, Unit

log = logging.getLogger("proxy.alert")

QUEUE_MAX = 1_000
TRIES = 5
PAUSE_S = 1.0
"""After the first failure; doubled with each that follows."""
TIMEOUT_S = 10.0
LAST_S = 5.0
"""How long a stop waits for what is still in the queue."""
NANO = 1_000_000_000
AGAIN = frozenset({408, 425, 429})
"""Refusals that may pass; of all others below 500 no repetition helps."""
_PERSON = re.compile(r"(^|/)user=[^/]+")

Sleep = Callable[[float], Awaitable[object]]
Post = Callable[[str, bytes], Awaitable[int]]
"""Posts a document to an address; the status. Raises `UpstreamLost`, follows no redirect."""


class WebhookAlerts(Observer):
    """An observer that cares for alerts only, and the duty that posts them."""

    def __init__(self, address: Callable[[], Secret | None], post: Post, sleep: Sleep) -> None:
        self._address = address
        self._send = post
        self._sleep = sleep
        self._waiting: deque[Alert] = deque()
        self._some = asyncio.Event()

    def alerted(self, alert: Alert) -> None:
        if len(self._waiting) >= QUEUE_MAX:
            log.warning("too many alerts wait for the webhook; one is left out", extra=_facts(alert))
            return
        self._waiting.append(alert)
        self._some.set()

    async def deliver(self) -> None:
        """Post what comes, for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self.post(TRIES)

    async def post(self, tries: int) -> None:
        """Post what waits, trying each so often. An alert leaves the queue only when it is done with."""
        while self._waiting:
            await self._tell(self._waiting[0], tries)
            self._waiting.popleft()

    async def flush(self) -> None:
        """Post what is left, once each and within `LAST_S`; after that only the log has it."""
        try:
            async with asyncio.timeout(LAST_S):
                await self.post(1)
        except TimeoutError:
            log.warning("alerts are left that the webhook did not take", extra={"left": len(self._waiting)})

    async def _tell(self, alert: Alert, tries: int) -> None:
        pause_s, why = PAUSE_S, ""
        for number in range(tries):
            address = self._address()
            if address is None:
                return
            if number:
                await self._sleep(pause_s)
                pause_s *= 2
            why, again = await self._post(address, alert)
            if not why:
                return
            if not again:
                break
        log.warning("the webhook did not take an alert", extra={**_facts(alert), "why": why})

    async def _post(self, address: Secret, alert: Alert) -> tuple[str, bool]:
        """Why it failed (nothing: it did not), and whether it may go well the next time."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._send(address.reveal(), document(alert))
        except UpstreamLost as lost:
            return lost.signal.detail or str(lost.signal.kind), True
        except (TimeoutError, ValueError) as error:
            return type(error).__name__, True  # its text may quote the address
        if 200 <= status < 300:
            return "", False
        return f"status {status}", status >= 500 or status in AGAIN


def document(alert: Alert) -> bytes:
    """What is posted. `text` is what chat programs show."""
    amounts = f"{_shown(alert.unit, alert.used)} of {_shown(alert.unit, alert.ceiling)}"
    name = _PERSON.sub(r"\1user=*", alert.scope)
    start = datetime.fromtimestamp(alert.window, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    nobody = " Nobody is refused: it is a shadow." if alert.shadow else ""
    told: dict[str, Any] = {
        "event": "limit_mark_crossed",
        "text": f"Limit {name} has crossed {alert.mark} %: {amounts} since {start}.{nobody}",
        "scope": name,
        "unit": alert.unit.value,
        "window_start": start,
        "mark": alert.mark,
        "used": alert.used,
        "ceiling": alert.ceiling,
        "shadow": alert.shadow,
    }
    return orjson.dumps(told)


def _shown(unit: Unit, amount: int) -> str:
    if unit is not Unit.NANO_USD:
        return f"{amount} {unit}"
    return f"USD {amount // NANO}.{amount % NANO // 10_000_000:02d}"


def _facts(alert: Alert) -> dict[str, Any]:
    return {"scope": alert.scope, "window": alert.window, "mark": alert.mark}


@asynccontextmanager
async def open_webhook(
    address: Callable[[], Secret | None], post: Post, sleep: Sleep
) -> AsyncIterator[WebhookAlerts]:
    """The observer, for the life of the process. `address` is asked before each try, so an edit counts.

    Close it after the ledger, whose last settlements may raise the last alerts.
    """
    alerts = WebhookAlerts(address, post, sleep)
    yield alerts
    await alerts.flush()
