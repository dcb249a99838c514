"""The duty that re-reads the keys, so that a key revoked beside a running proxy dies within a second."""

from typing import Protocol

from proxy.duties.supervisor import Sleep

EVERY_S = 0.5


class Refreshing(Protocol):
    """A store of keys that can look whether others changed it."""

    async def refresh(self) -> object:
        """Take over what has changed since the last look."""
        ...


async def refresh_keys(keys: Refreshing, sleep: Sleep) -> None:
    """Refresh for ever."""
    while True:
        await keys.refresh()
        await sleep(EVERY_S)
