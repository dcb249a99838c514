"""One connection to an upstream: HTTP/1.1 on a bare protocol, one exchange after another.

`pool.py` keeps them, `client.py` asks over them. llhttp (through httptools) parses, in its strict ways:
what it does not take, an answer framed in two ways, a head beyond all measure or a byte that nobody asked
for ends the connection. Nothing is buffered here; what arrives is the answer's at once.
"""

import asyncio
from typing import NoReturn, Protocol, cast

import httptools

from proxy.call import Kind, Phase, Signal
from proxy.upstream.answer import Answer
from proxy.upstream.head import Head

HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 256
BEYOND_MEASURE = "a head beyond all measure"
_INTERIM = 200
"""Statuses below it announce another answer."""
_BODILESS = frozenset({204, 304})
_FRAMED = frozenset({"content-length", "transfer-encoding"})
_DEAF = httptools.HttpResponseParser(object())
"""Tells nobody of anything."""


class _Garbage(Exception):
    """What came is no answer that we accept."""


def _refuse(why: str) -> NoReturn:
    raise _Garbage(why)


class Keeper(Protocol):
    """Whom a connection tells of its life."""

    def freed(self, connection: "Connection") -> None:
        """Its answer was read to the end, and it can be asked again."""
        ...

    def closed(self, connection: "Connection") -> None:
        """It is gone."""
        ...


class Connection(asyncio.Protocol):
    """An open connection; `ask` begins an exchange, the answer ends it."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._reason: list[bytes] = []
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self._body: list[bytes] = []
        """What the parser found in the bytes that have just come, or of a head that is not whole yet."""
        self.on_status = self._reason.append
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._untold = 0
        """Bytes since the last of a body: of heads, or of what the parser keeps to itself, without end."""
        self._keep = False
        self._heard = False
        """Whether a byte of the current answer has come."""
        self._reused = False
        self._open = True
        self.usable = True
        """Whether another exchange can begin."""
        self.idle_since = 0.0

    @property
    def stale(self) -> bool:
        """It failed as one does that the upstream gave up before we took it: not a byte was answered."""
        return self._reused and not self._heard and not self._open

    def ask(self, head: bytes, body: bytes) -> Answer:
        """Send a request; what comes back fills the answer."""
        answer = self._answer = Answer(self, self._loop)
        self._untold = 0
        self.usable = self._keep = self._heard = False
        self._transport.writelines((head, body))
        return answer

    def close(self) -> None:
        """Close at once; an answer under way is lost."""
        self._open = self.usable = False
        self._transport.abort()

    # ── for the answer ────────────────────────────────────────────────────────────────────────────

    def hold(self) -> None:
        self._transport.pause_reading()

    def go_on(self) -> None:
        if self._open:
            self._transport.resume_reading()

    def part(self, *, whole: bool) -> None:
        self._answer = None
        if whole and self._keep and self._open:
            self._reused = self.usable = True
            self._keeper.freed(self)
        else:
            self.close()

    # ── from the loop ─────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.close()  # nobody asked
            return
        self._heard = True
        self._untold += len(data)
        try:
            self._parser.feed_data(data)
            if not self._body and self._untold > HEAD_BYTES:
                _refuse("much framing around nothing")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _Garbage) as error:
            self._broken(answer, error)
        body = self._body
        if body:
            self._untold = 0
            piece = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            answer.came(piece)
        else:
            answer.came(b"")

    def eof_received(self) -> None:
        answer = self._answer
        if answer is None or not answer.status or answer.status in _BODILESS:
            return
        if _FRAMED.isdisjoint(answer.headers):
            answer.ended = True  # the body has no frame but the connection's own end

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = self.usable = False
        answer = self._answer
        if answer is not None:
            phase = Phase.HEADERS if answer.status else Phase.SENT
            detail = type(exc).__name__ if exc is not None else "closed"
            answer.lose(Signal(Kind.RESET, phase, answer.status or None, detail=detail))
            answer.came(b"")
        self._keeper.closed(self)
        self._parser = _DEAF  # its own would keep this, and this it

    def _broken(self, answer: Answer, error: Exception) -> None:
        """Garbage instead of a head is a bad answer; within a body it is an answer cut short."""
        detail = type(error).__name__
        if answer.status:
            answer.lose(Signal(Kind.RESET, Phase.HEADERS, answer.status, detail=detail))
        else:
            answer.lose(Signal(Kind.BAD_ANSWER, Phase.SENT, detail=detail))
        self.close()

    # ── from the parser ───────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        if self._answer is not None and self._answer.status:
            _refuse("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._names.append(name)
        self._values.append(value)
        if len(self._names) > HEAD_FIELDS:
            _refuse(BEYOND_MEASURE)

    def on_headers_complete(self) -> None:
        names, values, self._names, self._values = self._names, self._values, [], []
        if self._untold > HEAD_BYTES and sum(map(len, (*self._reason, *names, *values))) > HEAD_BYTES:
            _refuse(BEYOND_MEASURE)
        self._reason.clear()
        status = self._parser.get_status_code()
        if status >= _INTERIM and self._answer is not None:
            self._keep = self._parser.should_keep_alive()
            self._answer.begin(status, Head(names, values))

    def on_message_complete(self) -> None:
        if self._names:  # trailers are nobody's headers
            self._names.clear()
            self._values.clear()
        if self._answer is not None and self._answer.status:
            self._answer.ended = True
