"""The workers of one proxy among themselves: whichever is asked for metrics tells those of all.

Each worker has a socket in their private room. Whoever connects is given the worker's own metrics as
text, and nothing is read. A sibling that does not answer in time, for it may be starting anew, is left
out, and how many were asked is a metric of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from proxy.scrape import merged
from proxy.server.worker import Worker

PATIENCE_S = 1.0


class Siblings:
    """One worker's view of all."""

    def __init__(self, worker: Worker, own: Callable[[], bytes]) -> None:
        self._worker = worker
        self._own = own

    async def metrics(self) -> bytes:
        """The metrics of every worker that answers, as one text."""
        others = [n for n in range(1, self._worker.of + 1) if n != self._worker.number]
        texts = await asyncio.gather(*(self._ask(number) for number in others))
        return merged([self._own(), *(text for text in texts if text)])

    async def tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a sibling."""
        with suppress(OSError):
            writer.write(self._own())
            await writer.drain()
        writer.close()

    async def _ask(self, number: int) -> bytes | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._worker.seat(number))
                try:
                    return await reader.read(-1)
                finally:
                    writer.close()
        except OSError:
            return None


@asynccontextmanager
async def open_siblings(worker: Worker, own: Callable[[], bytes]) -> AsyncIterator[Siblings]:
    """Take this worker's seat; `own` gives its own metrics."""
    siblings = Siblings(worker, own)
    seat = worker.seat(worker.number)
    seat.unlink(missing_ok=True)  # of the process that had this number before
    server = await asyncio.start_unix_server(siblings.tell, seat)
    try:
        yield siblings
    finally:
        server.close()
