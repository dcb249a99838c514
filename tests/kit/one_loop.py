"""The whole proxy on the test's own loop: every room as `app.py` wires it, real sockets, a ledger on disk.

Nothing is a stand-in but the upstreams (`Parts`), which play what the prompt asks for, and the callers, who
are bare protocols so that thousands cost seconds. `Inside` shows what a test may look at when all is quiet.
"""

import asyncio
import gc
import json
import socket
import struct
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from proxy.app import Orders, _open
from proxy.config import load
from proxy.duties.reload import Standing
from proxy.server.listeners import Listeners
from proxy.server.visit import Listener
from tests.kit.stage import chunk, events, fault, opening, whole

SETTINGS = """\
settings:
  listen: 127.0.0.1:0
  admin: "off"
  probes: "off"
  simulator: "off"
  ledger: sqlite:///{folder}/ledger.db
  auth: none
  max_lag: "off"
"""
"""However busy the machine is, no newcomer is turned away for it."""
TOKENS = (" one", " two", " three")
TEXT = "".join(TOKENS)
STREAM = [opening(), *(chunk(one) for one in events("m", TOKENS)), b"0\r\n\r\n"]
"""What a well upstream sends: head, role, three tokens, finish, usage, `[DONE]`, the last chunk."""
DONE = b"data: [DONE]"
LAST = b"0\r\n\r\n"


# ── the upstreams ─────────────────────────────────────────────────────────────────────────────────────


class Parts:
    """Upstreams behind one port, which play what the first word of the prompt says.

    `well`, `503`, or how many pieces of a stream come before silence.
    """

    def __init__(self) -> None:
        self.heard: deque[str] = deque(maxlen=1000)
        """The last prompts."""
        self.held: set[Part] = set()
        """Those that fell silent in the middle and whose other side has not left."""
        self.open: set[Part] = set()
        self.port = 0

    def let_go(self, *, but: str = "never") -> None:
        """Whoever is silent says the rest, but for those whose prompt holds this word."""
        for part in tuple(self.held):
            if but not in part.prompt:
                part.go_on()


class Part(asyncio.Protocol):
    """One connection of the proxy's."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._read = b""
        self._rest = b""
        self.prompt = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._parts.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parts.open.discard(self)
        self._parts.held.discard(self)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if found and head.startswith(b"GET "):  # how busy it is: it does not say
            self._read = b""
            self.transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        if not found or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return
        self._read = b""
        self.play(head.split(b"/", 2)[1].decode(), body)

    def play(self, name: str, body: bytes) -> None:
        """Answer a request to the upstream whose path begins with `name`."""
        asked = json.loads(body)
        self.prompt = asked["messages"][-1]["content"]
        self._parts.heard.append(self.prompt)
        part = self.prompt.split()[0]
        if part == "503" or not asked["stream"]:
            self.transport.write(b"".join(fault(503) if part == "503" else whole("m", TOKENS)))
            return
        pieces = len(STREAM) if part == "well" else int(part)
        self.transport.write(b"".join(STREAM[:pieces]))
        self._rest = b"".join(STREAM[pieces:])
        if self._rest:
            self._parts.held.add(self)

    def go_on(self) -> None:
        self._parts.held.discard(self)
        self.transport.write(self._rest)


@asynccontextmanager
async def parts(kind: Callable[[Parts], Part] = Part) -> AsyncIterator[Parts]:
    """Upstreams that play, on a port of their own."""
    made = Parts()
    server = await asyncio.get_running_loop().create_server(lambda: kind(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for part in tuple(made.open):
            part.transport.abort()
        await until(lambda: not made.open)


# ── the callers ───────────────────────────────────────────────────────────────────────────────────────


def ask(prompt: str, model: str = "chat", *, stream: bool = True) -> bytes:
    """A call, as it goes over the wire."""
    said = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
    body = json.dumps(said).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: proxy\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Asker(asyncio.Protocol):
    """A caller: asks, takes what comes, leaves when told to."""

    def __init__(self) -> None:
        self.got = b""
        self.lost = False
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        self.got += data
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def until(self, word: bytes) -> bytes:
        """All that came of this answer, once it holds `word`, or has ended before."""
        while word not in self.got and not self.lost:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self.got

    async def call(self, prompt: str, **options: Any) -> bytes:
        """One call, to the end of its answer."""
        self.got = b""
        self.transport.write(ask(prompt, **options))
        return await self.until(LAST)

    def leave(self, way: str) -> None:
        """Go, in one of the ways there are: `reset`, `close`, `half-close`."""
        if way == "half-close":
            self.transport.write_eof()
        elif way == "close":
            self.transport.close()
        else:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


async def joined(port: int) -> Asker:
    """A caller connected to that port."""
    _, made = await asyncio.get_running_loop().create_connection(Asker, "127.0.0.1", port)
    return made


# ── the proxy ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Inside:
    """A running proxy, and what may be seen of it."""

    folder: Path
    listeners: Listeners
    upstreams: Parts
    troubles: list[dict[str, Any]] = field(default_factory=list)
    """What reached the loop because nobody caught it."""

    @property
    def standing(self) -> Standing:
        return self.listeners._service.answer.__self__

    @property
    def live(self) -> int:
        """Calls inside."""
        return self.listeners._service.gate.live

    async def asker(self) -> Asker:
        return await joined(self.listeners.bound[Listener.PUBLIC].port)

    async def idle(self, left: int = 0) -> None:
        """Until no more than so many calls are inside, and idle connections are closed."""
        await until(lambda: self.live <= left)
        for pool in self.standing.desk.upstreams._pools.values():
            while (one := pool.take()) is not None:
                one.close()
        await until(lambda: len(self.upstreams.open) <= left)

    async def quiet(self) -> None:
        """Until no call is inside and no upstream is talked to."""
        await self.idle()
        assert self.standing.desk.snapshot.health.outstanding == 0
        assert self.troubles == [], self.troubles

    def rows(self) -> list[tuple[str, str, str]]:
        """(kind, call, result) of every row on disk."""
        return rows_of(self.folder)


def rows_of(folder: Path) -> list[tuple[str, str, str]]:
    """(kind, call, result) of every row of the ledger in a folder."""
    connection = apsw.Connection(str(folder / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(connection.execute("SELECT kind, call_id, result FROM rows"))
    finally:
        connection.close()


@asynccontextmanager
async def one_loop(folder: Path, table: str, kind: Callable[[Parts], Part] = Part) -> AsyncIterator[Inside]:
    """A proxy that serves `table`, whose upstreams are `{port}`; drained and closed at the end."""
    loop, troubles = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: troubles.append(context))
    async with parts(kind) as upstreams, AsyncExitStack() as stack:
        text = SETTINGS.format(folder=folder) + table.format(port=upstreams.port)
        (folder / "proxy.yaml").write_text(text)
        listeners, _ = await _open(stack, Orders(load(folder / "proxy.yaml", {})))
        yield Inside(folder, listeners, upstreams, troubles)
        await listeners.drain(0)
    assert troubles == [], troubles


async def until(condition: Callable[[], Any]) -> None:
    """Let everybody go on until something is so; the watchdog ends a test where it never is."""
    while not condition():  # noqa: ASYNC110  # what it waits for has no event of its own
        await asyncio.sleep(0.001)


# ── what is alive ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Alive:
    """What a process holds, counted."""

    ours: Counter[str]
    """Objects of our classes, by class."""
    tasks: int
    files: int
    blocks: int
    """Pieces of memory that Python has given out, of whatever size."""

    @classmethod
    def now(cls) -> "Alive":
        gc.collect()
        names = (f"{type(each).__module__}.{type(each).__name__}" for each in gc.get_objects())
        ours = Counter(name for name in names if name.startswith("proxy."))
        files = len(list(Path("/proc/self/fd").iterdir()))
        return cls(ours, len(asyncio.all_tasks()), files, sys.getallocatedblocks())
