"""A story that a test tells step by step, and what twins ask of it."""

import asyncio
from dataclasses import dataclass, field

from proxy.call import Attempt, Billed, Call, Outcome
from proxy.ports import Caller
from proxy.server.kept import Bounds
from proxy.server.twins import Twins
from proxy.usage import Usage
from tests.server.running import FakeClock, House, chat

END = object()
CUT = object()
KEY = "order-4711"
ONE, TWO, DONE = b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"
BODY = b'{"id":"chatcmpl-1"}'


async def until(condition):
    """Let everybody else go on until something is so; the watchdog ends a test where it never is."""
    while not condition():  # noqa: ASYNC110  # what it waits for has no event of its own
        await asyncio.sleep(0)


def ask(body=None, *, key=KEY, headers=(), **options):
    """A chat with an idempotency key, streamed unless it says otherwise."""
    named = [("Idempotency-Key", key), *headers]
    return chat({"stream": True, **(body or {})}, headers=named, **options)


@dataclass
class Telling:
    """One call that the stand-in for the story was handed."""

    caller: Caller
    call: Call
    steps: asyncio.Queue = field(default_factory=asyncio.Queue)
    ended: asyncio.Future = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    settling: asyncio.Event | None = None
    """Where there is one, a call ends only when it is set, however it does."""

    def say(self, *steps):
        for step in steps:
            self.steps.put_nowait(step)

    @property
    def listeners(self):
        return len(self.caller._readers)


@dataclass
class Scripted:
    """The story: does what each telling is told to, and has its outcome noted as the real one does."""

    house: House
    billed: Billed = Billed.YES
    slow_to_settle: bool = False
    tellings: list = field(default_factory=list)

    async def __call__(self, caller, call):
        telling = Telling(caller, call)
        if self.slow_to_settle:
            telling.settling = asyncio.Event()
        self.tellings.append(telling)
        result = "internal_error"
        try:
            result = await self._tell(telling)
            if telling.settling is not None:
                await telling.settling.wait()
        except asyncio.CancelledError:
            result = "caller_gone" if caller.gone else "shutdown"
            if not caller.gone and caller.headers is not None:
                caller.write(b'data: {"error":{"code":"shutdown"}}\n\n')
                caller.abort()
            if telling.settling is not None:
                await telling.settling.wait()
            raise
        finally:
            self.house.twins.bills.settled(self._outcome(call, result))
            telling.ended.set_result(result)

    async def _tell(self, telling):
        begun = False
        while True:
            step = await telling.steps.get()
            if isinstance(step, BaseException):
                raise step
            if step is END:
                await telling.caller.finish()
                return "ok"
            if step is CUT:
                telling.caller.write(b'data: {"error":{"code":"upstream_broken"}}\n\n')
                await telling.caller.finish()
                return "broken"
            if not begun:
                begun = True
                names = {"x-request-id": telling.call.id, "x-fallthrough-upstream": "openai"}
                await telling.caller.start(200, {**names, "x-ratelimit-remaining-requests": "7"})
            pending = telling.caller.write(step)
            if pending is not None:
                await pending

    def _outcome(self, call, result):
        attempt = Attempt("openai", "gpt-4o", result, 200, "content", 0, None, 1, self.billed)
        attempts = () if self.billed is Billed.NO else (attempt,)
        status, usage = 200, Usage()
        return Outcome(
            call.id, call.identity, call.model, call.stream,
            status, result, None, None, usage, 0, attempts, 0, None, 1, spent=bool(attempts),
        )  # fmt: skip

    async def telling(self, number=0):
        """The call of this number, once it has come."""
        await until(lambda: len(self.tellings) > number)
        return self.tellings[number]

    async def joined(self, raw, *, listeners=1, number=0):
        """A twin that listens to a call under way."""
        line = await self.house.connect()
        line.send(raw)
        telling = await self.telling(number)
        await until(lambda: telling.listeners == listeners)
        return line, telling

    async def answered(self, raw, *steps, number=0):
        """A call that is told at once; its answer."""
        line, telling = await self.joined(raw, number=number)
        telling.say(*steps)
        reply = await line.answer()
        line.close()
        await until(lambda: not self.house.twins._shared)
        return reply


def bounded(**bounds):
    """A house whose memory is small."""
    clock = FakeClock()
    house = House(clock=clock, twins=Twins(clock, Bounds(**bounds)))
    house.answer = Scripted(house)
    return house


async def everything(raw):
    """All that comes over a raw socket, to the last chunk or the end of the connection."""
    loop, got = asyncio.get_running_loop(), []
    try:
        while data := await loop.sock_recv(raw, 65_536):
            got.append(data)
            if data.endswith(b"\r\n0\r\n\r\n"):
                break
    except ConnectionResetError:
        pass
    return b"".join(got)
