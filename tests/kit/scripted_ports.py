"""Scripted stand-ins for the ports, for dialogues with the story on virtual time.

An upstream's script is a list of answers, one for each attempt; an answer's body is a list of steps:
bytes to deliver, `Pause(seconds)`, `STALL`, or a `Signal` to break with. The caller records all it
is told; the ledger keeps balances in memory and applies the same conditional rule as the real one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import orjson
from msgspec import Struct, field

from proxy.audience import Audience
from proxy.call import Attempt, Call, Identity, Kind, Outcome, Phase, Signal, UpstreamLost, UpstreamRequest
from proxy.facts.capabilities import KNOWN
from proxy.flow import poured
from proxy.holds import Alert, Balance, Claim, Granted, Hold, Progress, Settlement, Spent
from proxy.policy.health import Health
from proxy.policy.terms import Terms
from proxy.ports import Observer, Sink
from proxy.relay import Desk
from proxy.snapshot import Snapshot
from proxy.store.recall import MemoryRecall
from proxy.table import Route, Table, Target, Timeouts, Upstream
from proxy.usage import Price
from tests.kit.virtual import SeededDice, VirtualClock

STALL = object()
"""A body that says nothing more, for ever."""

CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


@dataclass(frozen=True)
class Pause:
    """Virtual seconds of silence."""

    s: float


class Says(Struct):
    """One scripted answer: status, headers and the steps of its body."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    steps: list = field(default_factory=list)
    before: float = 0.0
    """Virtual seconds before the status line."""


def event(delta: dict | None = None, finish: str | None = None, **members) -> bytes:
    """One chunk of a stream as an upstream sends it."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return b"data: " + orjson.dumps({**CHUNK, "choices": [choice], **members}) + b"\n\n"


def usage_event(prompt: int = 5, completion: int = 2) -> bytes:
    """The chunk that only reports usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return b"data: " + orjson.dumps({**CHUNK, "choices": [], "usage": usage}) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def stream(*words: str, steps: list | None = None) -> Says:
    """A healthy stream that says `words`."""
    body = [event({"role": "assistant", "content": ""})]
    body += [event({"content": word}) for word in words]
    return Says(steps=body + (steps if steps is not None else [event(finish="stop"), usage_event(), DONE]))


def whole(text: str = "hello") -> Says:
    """A healthy answer that is not streamed."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
    return Says(headers={"content-type": "application/json"}, steps=[orjson.dumps(body)])


def fails(status: int, body: dict | None = None, **headers: str) -> Says:
    """An error answer in OpenAI's shape."""
    shaped = body or {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Says(status, {"content-type": "application/json", **named}, [orjson.dumps(shaped)])


REFUSED = Signal(Kind.UNREACHABLE, Phase.CONNECT, detail="connection refused")
RESET = Signal(Kind.RESET, Phase.HEADERS, detail="connection reset")


class ScriptedAnswer:
    """The UpstreamAnswer port, read from a script."""

    def __init__(self, says: Says) -> None:
        self.status = says.status
        self.headers = says.headers
        self._steps = says.steps

    async def chunks(self) -> AsyncIterator[bytes]:
        for step in self._steps:
            if isinstance(step, Pause):
                await asyncio.sleep(step.s)
            elif isinstance(step, Signal):
                raise UpstreamLost(step)
            elif step is STALL:
                await asyncio.sleep(1e9)
            else:
                yield step

    async def pour(self, sink: Sink) -> None:
        await poured(self.chunks(), sink)

    async def whole(self, limit: int) -> bytes:
        body = await self.start(limit + 1)
        if len(body) > limit:
            raise UpstreamLost(Signal(Kind.BAD_ANSWER, Phase.HEADERS, self.status, detail="answer too large"))
        return body

    async def start(self, limit: int) -> bytes:
        taken, size = [], 0
        async with aclosing(self.chunks()) as chunks:
            async for data in chunks:
                taken.append(data)
                size += len(data)
                if size >= limit:
                    break
        return b"".join(taken)[:limit]


class ScriptedUpstreams:
    """The Upstreams port; `asked` lists who was asked, `open` counts bodies still held."""

    def __init__(self, **scripts: list) -> None:
        self._scripts = {name: list(script) for name, script in scripts.items()}
        self.asked: list[str] = []
        self.requests: list[UpstreamRequest] = []
        self.open = 0

    @asynccontextmanager
    async def send(self, upstream: Upstream, request: UpstreamRequest):
        self.asked.append(upstream.name)
        self.requests.append(request)
        script = self._scripts[upstream.name]
        says = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(says, Signal):
            raise UpstreamLost(says)
        self.open += 1
        try:
            await asyncio.sleep(says.before)
            yield ScriptedAnswer(says)
        finally:
            self.open -= 1


class RecordingCaller:
    """The Caller port: keeps what it was told; `slow_s` makes every write wait so long."""

    def __init__(self, slow_s: float = 0.0) -> None:
        self.gone = False
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = b""
        self.finished = False
        self.aborted = False
        self._slow_s = slow_s

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        assert self.status is None, "started twice"
        self.status, self.headers = status, headers

    def write(self, data: bytes):
        assert self.status is not None, "wrote before the status line"
        assert not self.finished, "wrote after the end"
        self.body += data
        return asyncio.sleep(self._slow_s) if self._slow_s else None

    async def finish(self) -> None:
        assert not self.finished, "finished twice"
        self.finished = True

    def abort(self) -> None:
        self.aborted = True

    @property
    def text(self) -> str:
        """The content of all events, joined."""
        texts = []
        for line in self.body.split(b"\n"):
            if line.startswith(b"data: {"):
                choices = orjson.loads(line[6:]).get("choices") or []
                texts += [choice["delta"].get("content") or "" for choice in choices]
        return "".join(texts)

    @property
    def errors(self) -> list[dict]:
        """The in-band errors."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {")]
        return [found["error"] for found in map(orjson.loads, lines) if "error" in found]


class MemoryLedger:
    """The Ledger port in memory: every hold must be settled exactly once."""

    def __init__(self) -> None:
        self.used: dict[tuple[str, int], int] = {}
        self.held: dict[tuple[str, int], int] = {}
        self.open: dict[str, tuple[Claim, ...]] = {}
        self.settled: list[tuple[str, Settlement]] = []
        self.notes: list[Progress] = []

    async def reserve(self, hold: Hold) -> Granted | Spent:
        assert hold.call_id not in self.open, "reserved twice"
        answer = self._admit(hold.claims)
        if isinstance(answer, Granted):
            self.open[hold.call_id] = hold.claims
        await asyncio.sleep(0)
        return answer

    async def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        answer = self._admit(claims)
        if isinstance(answer, Granted):
            self.open[call_id] += claims
        await asyncio.sleep(0)
        return answer

    def _admit(self, claims: tuple[Claim, ...]) -> Granted | Spent:
        for claim in claims:
            key = (claim.scope, claim.window)
            used, held = self.used.get(key, 0), self.held.get(key, 0)
            if used + held + claim.amount > claim.ceiling and not claim.shadow:
                return Spent(claim, used, held)
        balances = []
        for claim in claims:
            key = (claim.scope, claim.window)
            held = self.held[key] = self.held.get(key, 0) + claim.amount
            balances.append(Balance(claim, self.used.get(key, 0), held))
        return Granted(tuple(balances))

    def _settle(self, kind: str, settlement: Settlement):
        self.settled.append((kind, settlement))
        claims = self.open.pop(settlement.outcome.call_id)
        for claim in claims:
            self.held[claim.scope, claim.window] -= claim.amount
        for charge in settlement.charges:
            key = (charge.scope, charge.window)
            self.used[key] = self.used.get(key, 0) + charge.amount
        durable = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return durable

    def note(self, progress: Progress) -> None:
        assert progress.call_id in self.open, "noted when not open"
        self.notes.append(progress)

    def commit(self, settlement: Settlement):
        return self._settle("commit", settlement)

    def release(self, settlement: Settlement):
        return self._settle("release", settlement)

    @property
    def outcome(self) -> Outcome:
        """The one outcome of a test with one call."""
        assert not self.open, f"left open: {self.open}"
        ((_, settlement),) = self.settled
        return settlement.outcome


class Looking:
    """The Counters port over a `MemoryLedger`."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    async def look(self, claims) -> dict[tuple[str, int], tuple[int, int]]:
        used, held = self._ledger.used, self._ledger.held
        return {one.counter: (used.get(one.counter, 0), held.get(one.counter, 0)) for one in claims}


class Notes(Observer):
    """The Observer port: keeps what it was told."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.attempts: list[Attempt] = []
        self.breakers: list[tuple[str, str]] = []
        self.reservations: list[Granted | Spent] = []

    def settled(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def attempted(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def breaker(self, upstream: str, state: str) -> None:
        self.breakers.append((upstream, state))

    def reserved(self, answer: Granted | Spent) -> None:
        self.reservations.append(answer)

    def alerted(self, alert: Alert) -> None:
        raise AssertionError("the story raises no alerts")


PRICE = Price(1_000_000_000, 2_000_000_000)
"""One dollar a million in, two out."""


def table(*names: str, limits: tuple = (), timeouts: Timeouts | None = None, **route) -> Table:
    """A table of `names` in order behind the model `chat`."""
    upstreams = {
        name: Upstream(
            name,
            "vllm" if "vllm" in name else "openai",
            "http://x/v1",
            timeouts=timeouts or Timeouts(),
            capabilities=KNOWN["vllm" if "vllm" in name else "plain"],
        )
        for name in names
    }
    targets = tuple(Target(name, "m", PRICE) for name in names)
    return Table(upstreams, (Route("chat", targets, **route),), limits)


def desk(book: Table, upstreams: ScriptedUpstreams, seed: int = 0) -> Desk:
    """A desk with scripted rooms around `book`."""
    rules = {name: upstream.breaker for name, upstream in book.upstreams.items()}
    snapshot = Snapshot(Terms.of(book), Health(rules))
    clock, audience = VirtualClock(), Audience.of(Notes())
    return Desk(snapshot, upstreams, MemoryLedger(), MemoryRecall(clock), clock, SeededDice(seed), audience)


def notes_of(made: Desk) -> Notes:
    """What the observer of a `desk` was told."""
    return made.audience.settled[0].__self__


OF_THE_CALL = frozenset({"preferred", "patience_s", "silence_s", "retries"})
"""What a caller says in headers, not in the body."""


def call(number: int = 1, *, stream: bool = True, **members) -> Call:
    """A small call for the model `chat`."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    body |= {key: value for key, value in members.items() if key not in OF_THE_CALL}
    return Call(
        id=f"req_{number}",
        created=1,
        identity=Identity("acme", "k1"),
        model="chat",
        body=body,
        prompt_bytes=len(orjson.dumps(body)),
        stream=stream,
        include_usage=bool((members.get("stream_options") or {}).get("include_usage")),
        preferred=members.get("preferred"),
        patience_s=members.get("patience_s"),
        silence_s=members.get("silence_s"),
        retries=members.get("retries", 0),
    )
