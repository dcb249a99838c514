"""Several processes behind the same addresses, and the one that looks after them.

`cli/serve.py` runs this for `--workers N`. The supervisor opens the sockets and keeps them, so that no
connection is lost while a worker starts anew; it answers nothing itself. Each worker is the whole program
(`app.py`), with a ledger that all of them share: a database, for a file has one owner. Callers are spread
over the workers by the kernel (SO_REUSEPORT); probes and metrics are answered by whichever is asked.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from msgspec import Struct

from proxy.config.settings import Address, Settings
from proxy.ports import Clock
from proxy.server.listeners import BACKLOG, opening, refuse_taken
from proxy.server.visit import Listener
from proxy.server.worker import VARIABLE, Worker

log = logging.getLogger("proxy.workers")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
"""Before a worker that ended by itself is started again, doubled each time."""
STEADY_S = 60.0
"""One that lived for so long starts anew at once."""

Sockets = Mapping[Listener, Sequence[socket.socket]]
"""For each listener a socket a worker, or one for all."""


class Plan(Struct, frozen=True):
    """What to run."""

    words: tuple[str, ...]
    """`serve` and its options, as a worker is given them."""
    settings: Settings
    workers: int


class Supervisor:
    """The workers of one proxy."""

    def __init__(self, plan: Plan, workers: Sequence[Worker], clock: Clock) -> None:
        self._plan = plan
        self._workers = workers
        self._clock = clock
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._status = 0

    def stop(self) -> None:
        """Have all workers drain; the second time, hurry."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def reread(self) -> None:
        """Have all workers read the table anew."""
        self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            _tell(process, number)

    async def run(self) -> int:
        """Until all have ended because they were told to, or one cannot start; the exit status."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(self._keep(worker), name=f"worker {worker.number}")
        return self._status

    async def _keep(self, worker: Worker) -> None:
        wait_s, lived_once = FIRST_WAIT_S, False
        while not self._stopping.is_set():
            began_s = self._clock.mono()
            status = await self._live(worker)
            lived_s = self._clock.mono() - began_s
            if self._stopping.is_set():
                self._status = self._status or max(status, 0)
                return
            if 0 < status < 128 and not lived_once and lived_s < STEADY_S:
                # It said why it cannot: its table, its ledger or its place. The others cannot either.
                self._status = status
                self.stop()
                return
            lived_once = True
            wait_s = FIRST_WAIT_S if lived_s >= STEADY_S else wait_s
            log.error("worker %d ended by itself (%d) and is started again", worker.number, status)
            await self._pause(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _live(self, worker: Worker) -> int:
        """One life of a worker; its exit status, negative for the signal that ended it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *self._plan.words),
            pass_fds=worker.descriptors,
            env={**os.environ, VARIABLE: worker.dump()},
            start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, who passes it on once
        )
        self._running[worker.number] = process
        if self._stopping.is_set():
            _tell(process, signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            del self._running[worker.number]

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _tell(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended by itself, and whoever waits for it has not heard yet
        process.send_signal(number)


async def supervise(plan: Plan, clock: Clock) -> int:
    """Run the workers until SIGTERM or SIGINT; the exit status. Raises `OSError` where a port is taken."""
    async with AsyncExitStack() as stack:
        sockets = await _opened(plan, stack)
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fallthrough-")))
        leash, held = os.pipe()
        stack.callback(os.close, held)
        stack.callback(os.close, leash)
        supervisor = Supervisor(plan, tuple(_workers(plan.workers, room, leash, sockets)), clock)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop)
        loop.add_signal_handler(signal.SIGHUP, supervisor.reread)
        log.info("supervising", extra={"workers": plan.workers})
        return await supervisor.run()


def _workers(count: int, room: Path, leash: int, sockets: Sockets) -> list[Worker]:
    return [
        Worker(
            number=number,
            of=count,
            room=room,
            leash=leash,
            sockets={name: each[(number - 1) % len(each)].fileno() for name, each in sockets.items()},
            alone=frozenset(name for name, each in sockets.items() if len(each) == count),
        )
        for number in range(1, count + 1)
    ]


async def _opened(plan: Plan, stack: AsyncExitStack) -> Sockets:
    """Every socket, listening: the public one there is for each worker, the others are shared."""
    settings, found = plan.settings, {}
    wanted = ((Listener.PUBLIC, settings.listen), (Listener.ADMIN, settings.admin))
    for listener, address in (*wanted, (Listener.PROBES, settings.probes)):
        if address is None:
            continue
        with opening(listener, address):
            if address.path is not None:
                await refuse_taken(address.path)
                found[listener] = [_at_path(address.path, stack)]
            else:
                found[listener] = _at_port(address, plan.workers if listener is Listener.PUBLIC else 1, stack)
    return found


def _at_path(path: Path, stack: AsyncExitStack) -> socket.socket:
    path.unlink(missing_ok=True)
    opened = stack.enter_context(socket.socket(socket.AF_UNIX))
    opened.bind(str(path))
    stack.callback(path.unlink, missing_ok=True)
    opened.listen(BACKLOG)
    return opened


def _at_port(address: Address, count: int, stack: AsyncExitStack) -> list[socket.socket]:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as alone:
        # Who shares a port shares it with every process of the same user: first see that nobody has it.
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(place)
        alone.listen()
        place = alone.getsockname()
    found = []
    for _ in range(count):
        opened = stack.enter_context(socket.socket(family, kind, protocol))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(place)
        opened.listen(BACKLOG)
        found.append(opened)
    return found
