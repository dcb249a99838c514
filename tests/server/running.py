"""The server over real ports, with a stand-in for the story."""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from proxy.call import Call
from proxy.config.settings import Address
from proxy.explain import Explanation
from proxy.policy.health import Health
from proxy.policy.terms import Terms
from proxy.ports import Caller, Grant
from proxy.recent import Recent
from proxy.server.gate import Gate
from proxy.server.listeners import Listeners, open_listeners
from proxy.server.twins import Twins
from proxy.server.views.glance import Glance
from proxy.server.views.sight import Watched
from proxy.server.visit import Check, Glass, Limits, Listener, Service, Views
from proxy.snapshot import Snapshot
from proxy.store.view import Spend
from proxy.table import Route, Table, Target, Upstream

KEY = "ft-" + "0123456789abcdef" * 3
LOOPBACK = Address(host="127.0.0.1", port=0, path=None)
TABLE = Table(
    upstreams={"openai": Upstream("openai", "openai", "http://openai/v1")},
    routes=(
        Route("gpt-4o", (Target("openai", "gpt-4o"),)),
        Route("acme/chat:v1", (Target("openai", "gpt-4o"),)),
        Route("gpt-*", (Target("openai", "gpt-4o"),)),
    ),
)
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "canary-prompt-7731"}]}

Answer = Callable[[Caller, Call], Awaitable[None]]


class FakeClock:
    """Time that stands still unless a test moves it."""

    def __init__(self):
        self.now = 100.0

    def mono(self):
        return self.now

    def wall_us(self):
        return 1_800_000_000_000_000


class FakeDice:
    """Ids that count."""

    def __init__(self):
        self._numbers = itertools.count(1)

    def roll(self):
        return 0.5

    def token(self):
        return f"{next(self._numbers):024x}"


class FakeKeys:
    """One known key; `broken` makes every look-up fail."""

    def __init__(self):
        self.grants = {hashlib.sha256(KEY.encode()).digest(): Grant("key_1", "acme")}
        self.broken = False
        self.digests = []

    def find(self, digest):
        self.digests.append(digest)
        if self.broken:
            raise RuntimeError("canary-secret-in-error")
        return self.grants.get(digest)

    async def pseudonym(self, tenant, user):
        return "p_" + hashlib.sha256(f"{tenant}/{user}".encode()).hexdigest()[:12]

    async def in_session(self, tenant, user, session):
        person = None if user is None else await self.pseudonym(tenant, user)
        return person, "s_" + hashlib.sha256(f"{tenant}/{person}/{session}".encode()).hexdigest()[:12]


class FakeView:
    """A ledger as watchers see it: nothing, unless a test writes something into it."""

    def __init__(self):
        self.found = ()
        self.at = {}
        self.crossed = ()
        self.sums = {}
        self.trouble = None
        self.looks = 0

    def look(self, since_us):
        self.looks += 1
        if self.trouble:
            raise self.trouble

    def counters(self, now_us):
        return self.found

    def stands(self, counters):
        return {counter: self.at[counter] for counter in counters if counter in self.at}

    def spent(self, tenant, within):
        return self.sums.get(tenant, Spend())

    def alerts(self, *heads):
        return tuple(each for each in self.crossed if not heads or each.scope.partition("/")[0] in heads)


async def counted():
    return b"fallthrough_calls_total 1\n"


async def whole(caller, call):
    """A short whole answer."""
    await caller.start(200, {"content-type": "application/json", "x-request-id": call.id})
    caller.write(b'{"ok":true}')
    await caller.finish()


async def nothing(call):
    """An explanation that has nothing to say."""
    return Explanation(call.model, call.identity.tenant, True, 0, None, None, None, None)


async def known(tenant, user):
    return f"p_{tenant}_{user}"


@dataclass
class House:
    """A running server and what a test may turn."""

    answer: Answer = whole
    keys: FakeKeys = field(default_factory=FakeKeys)
    gate: Gate = field(default_factory=Gate)
    troubles: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)
    explain: Callable[[Call], Awaitable[Explanation]] = nothing
    open_to_all: bool = False
    origins: frozenset = frozenset()
    limits: Limits = field(default_factory=Limits)
    clock: FakeClock = field(default_factory=FakeClock)
    twins: Twins | None = None
    listeners: Listeners | None = None
    lines: list = field(default_factory=list)
    table: Table = TABLE
    view: FakeView = field(default_factory=FakeView)
    faults: list = field(default_factory=list)
    ticks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Each is a second for somebody who watches."""
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def __post_init__(self):
        self.twins = self.twins or Twins(self.clock)
        self.recent = Recent(self.clock.wall_us)
        self.health = Health({name: each.breaker for name, each in self.table.upstreams.items()})

    def service(self):
        async def answer(caller, call):
            self.calls.append(call)
            await self.answer(caller, call)

        async def explain(call):
            return await self.explain(call)

        checks = (
            Check("ledger", lambda: self.troubles.get("ledger")),
            Check("table", lambda: self.troubles.get("table"), vital=False),
        )
        return Service(
            answer=answer,
            table=lambda: self.table,
            keys=self.keys,
            open_to_all=self.open_to_all,
            clock=self.clock,
            dice=FakeDice(),
            gate=self.gate,
            twins=self.twins,
            metrics=counted,
            glass=Glass(explain, known),
            views=self.views(),
            checks=checks,
            origins=self.origins,
            limits=self.limits,
        )

    def views(self):
        """Of a house whose upstream has never been asked, and whose ledger is scripted."""
        watched = Watched(
            1,
            lambda: Snapshot(Terms.of(self.table), self.health),
            self.recent,
            self.gate,
            lambda: tuple(self.faults),
            self.clock,
        )

        async def pause(seconds):
            self.clock.now += seconds
            await self.ticks.acquire()

        return Views(watched.alone, Glance(self.view, self.clock, self.thread), pause=pause)

    def port(self, listener=Listener.PUBLIC):
        return self.listeners.bound[listener].port

    async def connect(self, listener=Listener.PUBLIC, **options):
        line = Line(*await asyncio.open_connection("127.0.0.1", self.port(listener), **options))
        self.lines.append(line)
        return line

    async def send(self, raw, listener=Listener.PUBLIC):
        """One request on a connection of its own."""
        line = await self.connect(listener)
        try:
            line.send(raw)
            return await line.answer()
        finally:
            line.close()


@dataclass
class Reply:
    """A parsed answer."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]


class Line:
    """A raw connection."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def send(self, raw):
        self.writer.write(raw)

    async def head(self):
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode().rstrip().split("\r\n")
        headers = {}
        for text in lines:
            name, _, value = text.partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        return int(first.split()[1]), headers

    async def answer(self, *, bodiless=False):
        status, headers = await self.head()
        if bodiless:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = await self.chunks()
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(status, headers, body)

    async def chunk(self):
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def chunks(self):
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self):
        self.writer.close()


def http(method, path, body=None, *, key=KEY, headers=()):
    """A well-formed request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + data


def chat(body=None, **options):
    return http("POST", "/v1/chat/completions", {**CHAT, **(body or {})}, **options)


@asynccontextmanager
async def opened(house):
    async with open_listeners(house.service(), dict.fromkeys(Listener, LOOPBACK)) as listeners:
        house.listeners = listeners
        try:
            yield house
        finally:
            house.thread.shutdown()
            for line in house.lines:
                line.writer.transport.abort()
                with suppress(OSError):
                    await line.writer.wait_closed()
