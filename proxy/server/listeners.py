"""The sockets: opened at start, drained at the end.

`app.py` opens one `Listeners` and, on SIGTERM, calls `drain`; a second SIGTERM calls `hurry`. While
draining the sockets stay open, so that latecomers are told 503 instead of being refused a connection.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

from proxy.config.settings import Address
from proxy.server.connection import Connection
from proxy.server.door import Door
from proxy.server.guard import guard_of
from proxy.server.routes import routes
from proxy.server.site import Site
from proxy.server.visit import Listener, Service
from proxy.server.worker import Worker

BACKLOG = 1024
CLOSING_S = 2.0
"""Connections left when the drain is over have had their chance."""


class CannotListen(OSError):
    """An address is taken, or may not be listened on; the message says whose and why."""

    def __init__(self, listener: Listener, address: Address, error: OSError) -> None:
        # What asyncio says of some errors repeats the address; resolvers number theirs below zero.
        number = error.errno or 0
        said = os.strerror(number) if number > 0 else error.strerror or str(error)
        super().__init__(f"{listener.value} listener at {address}: {said}")


class Listeners:
    """The open sockets of one process."""

    def __init__(self, service: Service, bound: Mapping[Listener, Address]) -> None:
        self._service = service
        self.bound = bound
        """Where each listener really is: port 0 has become a number."""

    async def drain(self, patience_s: float) -> None:
        """Turn newcomers away, let the calls inside end, cut those that do not in time."""
        await self._service.gate.drain(patience_s)

    def hurry(self) -> None:
        """Stop waiting for the calls inside."""
        self._service.gate.hurry()


@asynccontextmanager
async def open_listeners(
    service: Service, addresses: Mapping[Listener, Address], worker: Worker | None = None
) -> AsyncIterator[Listeners]:
    """Listen on every address given; leaving the context closes the sockets and what is left on them.

    One of several workers is given sockets that listen there already.
    """
    guard = guard_of(service.keys, service.origins, open_to_all=service.open_to_all)
    entries = routes(service, guard)
    bound: dict[Listener, Address] = {}
    async with AsyncExitStack() as stack:
        for listener, address in addresses.items():
            rows = tuple(entry for entry in entries if listener in entry.listeners)
            door = Door(rows, guard, service)
            site = Site(door, service.limits, service.clock, service.dice)
            bound[listener] = await stack.enter_async_context(_listening(site, listener, address, worker))
        yield Listeners(service, bound)


@contextmanager
def opening(listener: Listener, address: Address) -> Iterator[None]:
    """Within it a listener's socket is opened; what goes wrong is told with its name and place."""
    try:
        yield
    except OSError as error:
        raise CannotListen(listener, address, error) from error


@asynccontextmanager
async def _listening(
    site: Site, listener: Listener, address: Address, worker: Worker | None
) -> AsyncIterator[Address]:
    """One socket and the connections made to it; yields where it really is."""
    given = worker.opened(listener) if worker else None
    alone = given.dup() if given and worker and listener in worker.alone else None
    with opening(listener, address):
        server = await _opened(site, address, given)
    moved = given is None and address.path is None
    try:
        yield Address(address.host, server.sockets[0].getsockname()[1]) if moved else address
    finally:
        server.close()
        if alone is not None:
            _shut(alone)
        await site.close(CLOSING_S)


def _shut(alone: socket.socket) -> None:
    """Have nobody come any more to a socket that the supervisor keeps open, and no sibling answers on.

    Closed here only, it would still take its share of the callers, who would wait until the slowest sibling
    has drained, and get no answer. Shut, it leaves them to siblings that still listen; a worker that is
    started again listens on it anew.
    """
    with alone, suppress(OSError):
        alone.shutdown(socket.SHUT_RDWR)


async def _opened(site: Site, address: Address, given: socket.socket | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    make = partial(Connection, site)
    if given is not None:
        return await loop.create_server(make, sock=given, backlog=BACKLOG)
    if address.path is not None:
        await refuse_taken(address.path)
        return await loop.create_unix_server(make, address.path, backlog=BACKLOG)
    return await loop.create_server(make, address.host, address.port or 0, backlog=BACKLOG)


async def refuse_taken(path: Path) -> None:
    """A socket that somebody answers on is theirs, and a file that is no socket is not ours to replace.

    What a dead process left behind is, and whoever listens does.
    """
    if _occupied(path):
        raise OSError("something that is no socket is there")
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return
    writer.close()
    raise OSError("another process listens there")


def _occupied(path: Path) -> bool:
    return path.exists() and not path.is_socket()
