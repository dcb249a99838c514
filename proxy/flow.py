"""The way of one streamed answer: from the upstream's bytes through its reader to the story.

`relay.py` makes one for each stream and has the upstream pour into it. Each piece is judged and handed on
the moment it arrives, whatever task that is; only what has to be waited for comes back to the story's own.
It decides nothing, and knows neither the caller nor the network.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import Any

from proxy.book import OpenAttempt
from proxy.ports import Sink
from proxy.watch import Watch
from proxy.wire.dialect import Reader

HOLD_MAX = 256 * 1024
"""Bytes held back before content; an upstream that talks so much without saying anything is broken."""


class Later:
    """What a piece makes the story wait for; no coroutine, for a story that is called off awaits nothing."""

    __slots__ = ("_work",)

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, None]:
        return self._work().__await__()


class Flow:
    """The `Sink` of one attempt."""

    __slots__ = ("_hand", "attempt", "choked", "full", "reader", "watch")

    def __init__(self, attempt: OpenAttempt, reader: Reader, watch: Watch, hand: "Hand") -> None:
        self.attempt = attempt
        self.reader = reader
        self.watch = watch
        self.choked = False
        """Whether more than `HOLD_MAX` came without any content; whoever holds it back says so."""
        self.full = False
        """Whether the answer is whole, has failed, or says nothing at length."""
        self._hand = hand

    def take(self, data: bytes) -> Awaitable[None] | None:
        """The next piece of the upstream's answer."""
        reader = self.reader
        pending = self._hand(self, reader.feed(data))
        self.full = reader.ended or reader.failure is not None or self.choked
        return pending

    async def end(self) -> None:
        """The upstream has ended its answer."""
        pending = self._hand(self, self.reader.finish())
        if pending is not None:
            await pending


Hand = Callable[[Flow, bytes], Awaitable[None] | None]
"""What is done with what the reader made of a piece."""


async def poured(pieces: AsyncGenerator[bytes, None], sink: Sink) -> None:
    """Give a body that is made here to a sink: `pour`, for who plays an upstream."""
    async with aclosing(pieces):
        async for piece in pieces:
            pending = sink.take(piece)
            if pending is not None:
                await pending
            if sink.full:
                return
