"""One WebSocket over a caller's connection: kept alive, kept within bounds, and closed in order.

`conversation.py` makes one when the handshake is out, and is told of every text and of the end. Pings are
answered here, and sent where nothing came for a while: a peer that is silent for two of them is gone. It
never looks into a text. Reading stops only while a large read, or many small frames of one, gives others
their turn, so that a close shows soon; whoever is told must bound what it keeps.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from proxy.server.frames import (
    GOING_AWAY,
    NO_CODE,
    NORMAL,
    POLICY,
    UNSUPPORTED,
    Assembler,
    Malformed,
    Message,
    Op,
    closing,
    code_of,
    frame,
)
from proxy.server.pieces import MUCH_BYTES
from proxy.server.visit import Limits, Line


class Listener(Protocol):
    """Who is told what comes."""

    @property
    def busy(self) -> bool:
        """Whether it has something to say yet, so that a silent peer only waits."""
        ...

    def heard(self, text: bytes) -> None:
        """A text came."""
        ...

    def ended(self) -> None:
        """Nothing more will come, and nothing that is said arrives; once."""
        ...


class Channel:
    """A WebSocket; both sides may end it."""

    def __init__(self, line: Line, limits: Limits, listener: Listener) -> None:
        self._line = line
        self._limits = limits
        self._listener = listener
        self._assembler = Assembler(limits.body_bytes)
        self._closing = False
        """Whether we have said that it is over."""
        self._ended = False
        self._deaf = False
        """Whether what comes cannot be understood any more."""
        self._silent = self._halfway = self._idle = 0.0
        """For how long nothing came at all, one message has been coming, and nobody has asked anything."""
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether what is said arrives, as far as is known."""
        return not (self._closing or self._ended or self._line.lost or self._line.transport.is_closing())

    @property
    def full(self) -> bool:
        """Whether the peer is behind with reading."""
        return self._line.writing_paused

    async def drained(self) -> None:
        """Wait until there is room again. Raises `CancelledError` if the connection is lost."""
        await self._line.drained()

    async def serve(self, head: bytes) -> None:
        """Answer the handshake with `head`, and be a WebSocket until it is over."""
        self._line.transport.write(head)
        self._tick()
        self._line.hand_over(self._receive)
        try:
            await self._over.wait()
        finally:
            self._end()
            if self._timer is not None:
                self._timer.cancel()

    def send(self, texts: list[bytes]) -> None:
        """Say so many texts, in one piece."""
        self._idle = 0.0
        self._line.transport.write(b"".join([frame(Op.TEXT, text) for text in texts]))

    def close(self, code: int, reason: str = "") -> None:
        """Say that it is over, and give the peer a while to say the same."""
        if not self._closing and not self._ended:
            self._closing = True
            self._silent = 0.0
            self._line.transport.write(closing(code, reason))
            self._wait(self._limits.linger_s, self._over.set)
        self._end()

    # ── what comes ────────────────────────────────────────────────────────────────────────────────

    def _receive(self, data: bytes) -> None:
        self._silent = 0.0
        if self._deaf or self._over.is_set():
            return
        try:
            messages = self._assembler.feed(data)
            for message in messages:
                self._take(message)
        except Malformed as fault:
            self._deaf = True  # its sender may still be sending, and is to read why
            self.close(fault.code, fault.reason)
        if not self._assembler.halfway:
            self._halfway = 0.0
        if self._assembler.behind or len(data) >= MUCH_BYTES:
            self._line.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Others had their turn: what has come already, before more is read."""
        if self._line.lost or self._line.transport.is_closing():
            return
        self._receive(b"")
        if self._deaf or self._over.is_set() or not self._assembler.behind:
            self._line.transport.resume_reading()

    def _take(self, message: Message) -> None:
        match message.op:
            case Op.CLOSE:
                code = code_of(message.data)
                self.close(NORMAL if code == NO_CODE else code)
                self._over.set()
            case Op.PING if not self._closing and not self.full:
                # Who asks without end and reads nothing gets no more answers than fit.
                self._line.transport.write(frame(Op.PONG, message.data))
            case Op.BINARY:
                self.close(UNSUPPORTED, "frames are JSON texts")
            case Op.TEXT if not self._closing:
                self._idle = 0.0
                self._listener.heard(message.data)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._listener.ended()

    # ── what does not come ────────────────────────────────────────────────────────────────────────

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _tick(self) -> None:
        """Now and then: see that the peer is there, and that it wants something."""
        limits, step = self._limits, self._limits.ping_s
        if self._closing:
            return
        if self.full:  # one that is behind is watched by who waits for it
            self._silent = 0.0
        if self._silent >= 2 * step:
            self._line.abort()
            return
        if self._halfway > limits.body_s:
            self.close(POLICY, "the message did not arrive in time")
            return
        if self._idle >= limits.socket_idle_s:
            self.close(GOING_AWAY, "nothing was asked for a long time")
            return
        if self._silent:
            self._line.transport.write(frame(Op.PING, b""))
        self._silent += step
        self._halfway += step if self._assembler.halfway else 0.0
        self._idle = 0.0 if self._listener.busy else self._idle + step
        self._wait(step, self._tick)
