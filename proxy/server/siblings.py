"""The workers of one proxy among themselves: whichever is asked tells of all.

Each worker has a socket in their private room. Whoever connects says in one line what it wants to know,
`metrics` or `sight`, and is given the worker's own; nothing else is read. A sibling that does not answer
in time, for it may be starting anew, is left out, and how many were asked is a metric of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from proxy.metrics.scrape import merged
from proxy.server.views.sight import Sight
from proxy.server.worker import Worker

PATIENCE_S = 1.0
METRICS, SIGHT = "metrics", "sight"


class Siblings:
    """One worker's view of all."""

    def __init__(self, worker: Worker, own: Mapping[str, Callable[[], bytes]]) -> None:
        self._worker = worker
        self._own = own

    async def metrics(self) -> bytes:
        """The metrics of every worker that answers, as one text."""
        return merged(await self._all(METRICS))

    async def sights(self) -> tuple[Sight, ...]:
        """What every worker that answers sees of itself, this one first."""
        sights = []
        for text in await self._all(SIGHT):
            with suppress(ValueError):  # cut off: that worker is just ending
                sights.append(Sight.load(text))
        return tuple(sights)

    async def tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a sibling."""
        with suppress(OSError, ValueError):  # a line that is too long, or none in time
            async with asyncio.timeout(PATIENCE_S):
                asked = (await reader.readline()).decode("ascii", "replace").strip()
                if asked in self._own:
                    writer.write(self._own[asked]())
                    await writer.drain()
        writer.close()

    async def _all(self, what: str) -> list[bytes]:
        others = [n for n in range(1, self._worker.of + 1) if n != self._worker.number]
        texts = await asyncio.gather(*(self._ask(number, what) for number in others))
        return [self._own[what](), *(text for text in texts if text)]

    async def _ask(self, number: int, what: str) -> bytes | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._worker.seat(number))
                try:
                    writer.write(f"{what}\n".encode())
                    return await reader.read(-1)
                finally:
                    writer.close()
        except OSError:
            return None


@asynccontextmanager
async def open_siblings(worker: Worker, own: Mapping[str, Callable[[], bytes]]) -> AsyncIterator[Siblings]:
    """Take this worker's seat; `own` gives what it says of itself, by what may be asked for."""
    siblings = Siblings(worker, own)
    seat = worker.seat(worker.number)
    seat.unlink(missing_ok=True)  # of the process that had this number before
    server = await asyncio.start_unix_server(siblings.tell, seat)
    try:
        yield siblings
    finally:
        server.close()
