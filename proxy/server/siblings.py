"""The workers of one proxy among themselves: whichever is asked tells of all.

Each worker has a socket in their private room. Whoever connects says in one line what it wants to know,
`metrics` or `sight`, and is given the worker's own; nothing else is read. Of a sibling that does not answer
in time, for it may be starting anew, there is no sight, but what it last counted still counts; how many
answered is a metric of its own.

What a worker counted may not be lost with it, nor while it is late: a sum that falls is a rise to whoever
computes rates. So it notes in the room what it last told, and whoever has its number next begins from there.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from proxy.metrics.scrape import added, lasting, merged
from proxy.server.views.sight import Sight
from proxy.server.worker import Worker

PATIENCE_S = 1.0
METRICS, SIGHT = "metrics", "sight"
END = b"\0"
"""Behind all that a worker says: without it, it was killed as it spoke, and is taken for silent."""


class Siblings:
    """One worker's view of all."""

    def __init__(self, worker: Worker, own: Mapping[str, Callable[[], bytes]]) -> None:
        self._worker = worker
        self._own = own
        self._numbers = range(1, worker.of + 1)
        self._past = lasting(_noted(worker.slate(worker.number)))
        """What those counted who had this number before."""
        self._noting = asyncio.Lock()

    async def metrics(self) -> bytes:
        """The metrics of every worker as one text: of one that does not answer, what it last counted."""
        told = await self._all(METRICS)
        silent = [number for number in self._numbers if number not in told]
        gone = await asyncio.gather(*(asyncio.to_thread(_noted, self._worker.slate(n)) for n in silent))
        return merged(tuple(told.values()), gone)

    async def sights(self) -> tuple[Sight, ...]:
        """What every worker that answers sees of itself, this one first."""
        return tuple(Sight.load(text) for text in (await self._all(SIGHT)).values())

    async def tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a sibling."""
        with suppress(OSError, ValueError):  # a line that is too long, or none in time
            async with asyncio.timeout(PATIENCE_S):
                asked = (await reader.readline()).decode("ascii", "replace").strip()
                if asked in self._own:
                    writer.write(await self._say(asked) + END)
                    await writer.drain()
        writer.close()

    async def _say(self, what: str) -> bytes:
        """What this worker says of itself."""
        if what != METRICS:
            return self._own[what]()
        async with self._noting:  # or an older one could be noted over a newer
            said = self._own[what]()
            whole = added([said, self._past]) if self._past else said
            await asyncio.to_thread(_note, self._worker.slate(self._worker.number), whole)
        return whole

    async def _all(self, what: str) -> dict[int, bytes]:
        """What every worker that answers says, by its number, this one first."""
        own = self._worker.number
        others = [number for number in self._numbers if number != own]
        texts = await asyncio.gather(*(self._ask(number, what) for number in others))
        told = {number: text for number, text in zip(others, texts, strict=True) if text}
        return {own: await self._say(what), **told}

    async def _ask(self, number: int, what: str) -> bytes | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._worker.seat(number))
                try:
                    writer.write(f"{what}\n".encode())
                    told = await reader.read(-1)
                finally:
                    writer.close()
        except OSError:
            return None
        return told.removesuffix(END) if told.endswith(END) else None


def _note(slate: Path, text: bytes) -> None:
    fresh = slate.with_suffix(f".{threading.get_ident()}")
    with suppress(OSError):  # no room for it: then a worker's end is a reset to who computes rates
        fresh.write_bytes(text)
        fresh.replace(slate)


def _noted(slate: Path) -> bytes:
    try:
        return slate.read_bytes()
    except OSError:
        return b""


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
