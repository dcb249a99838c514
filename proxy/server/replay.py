"""An answer that is told to several at once: kept as it comes, and read by each at a pace of their own.

`twins.py` hands a `Replay` to the story as its caller, and each twin a `Reader`. Whoever comes later
still gets everything from the start, as long as that is kept. The story waits for the fastest reader
only; who falls behind farther than there is room for is cut off and holds up nobody. No byte is
changed or made here.
"""

import asyncio
from collections.abc import Awaitable, Generator, Mapping
from enum import Enum
from typing import Any, Protocol

from proxy.errors import Failure, unavailable

PIECE_BYTES = 64 * 1024
"""No piece is larger, so that a slow reader holds no more of an answer that others have let go."""
GATHER_BYTES = 16 * 1024
"""Small pieces are handed out together by so much, to who has some to catch up with."""
AHEAD_BYTES = 64 * 1024
"""The story may be ahead of the fastest reader by so much."""
PIECE_COST = 128
"""What a piece costs besides its bytes, about."""


class End(Enum):
    """How the telling ended."""

    WHOLE = "whole"
    CUT = "cut"


class FellBehind(Exception):
    """What a reader would get next is not kept any more."""


class Room(Protocol):
    """The memory that all answers share."""

    @property
    def full(self) -> bool:
        """Whether more is held than may be."""
        ...

    def grow(self, size: int) -> None:
        """So many bytes more are held."""
        ...

    def shrink(self, size: int) -> None:
        """So many bytes less."""
        ...


class Replay:
    """The `Caller` of a shared call.

    A stream is bounded while it comes: what is beyond `most` bytes, or finds the room full, pushes out
    the oldest. A whole answer comes in one piece that the story has bounded; it takes room once kept.
    """

    def __init__(self, room: Room, most: int, *, stream: bool) -> None:
        self._room = room
        self._most = most
        self._stream = stream
        self._pieces: dict[int, bytes] = {}
        """By number, from `_first` to before `_next`."""
        self._first = self._next = 0
        self._held = self._counted = 0
        self._readers: set[Reader] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._released = False
        self.headers: Mapping[str, str] | None = None
        """None until the answer has begun."""
        self.status = 0
        self.size = 0
        """Bytes told so far."""
        self.end: End | None = None
        self.error: BaseException | None = None
        """Why there is no answer at all."""

    # ── the story's side: the port ────────────────────────────────────────────────────────────────

    @property
    def gone(self) -> bool:
        """Whether nobody listens any more."""
        return not self._readers

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.status, self.headers = status, headers
        self._ring()

    def write(self, data: bytes) -> Awaitable[None] | None:
        for at in range(0, len(data), PIECE_BYTES):
            self._append(data[at : at + PIECE_BYTES])
        if not self._stream:
            return None
        self._trim()
        self._ring()
        return _Pace(self) if self._lead() > AHEAD_BYTES else None

    async def finish(self) -> None:
        self.close(End.WHOLE)

    def abort(self) -> None:
        self.close(End.CUT)

    # ── the twins' side ───────────────────────────────────────────────────────────────────────────

    @property
    def from_start(self) -> bool:
        """Whether a newcomer could still have all of it."""
        return self._first == 0

    @property
    def weight(self) -> int:
        """Bytes that it takes."""
        return self._held

    def attend(self) -> "Reader":
        """A reader from the first byte on."""
        reader = Reader(self)
        self._readers.add(reader)
        return reader

    def close(self, end: End, error: BaseException | None = None) -> None:
        """Nothing more will be told; only the first word of it counts."""
        if self.end is None:
            self.end, self.error = end, error
            self._ring()

    def keep(self) -> None:
        """Hold it, readers or not, until it is cleared."""
        self._count(self._held - self._counted)

    def release(self) -> None:
        """Hold it only for those who still read it."""
        self._released = True
        if self.gone:
            self.clear()

    def clear(self) -> None:
        """Hold nothing; who has not read all of it by now never will."""
        while self._pieces:
            self._drop()
        self._ring()

    async def caught_up(self) -> None:
        """Wait until the fastest reader has nearly all there is."""
        while self._lead() > AHEAD_BYTES:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def take(self, reader: "Reader") -> bytes:
        """What `reader` has not had yet, or the next part of it; empty if there is nothing now."""
        if reader.position < self._first:
            raise FellBehind
        got, size = [], 0
        while reader.position < self._next and size < GATHER_BYTES:
            piece = self._pieces[reader.position]
            got.append(piece)
            size += len(piece)
            reader.position += 1
        reader.taken += size
        self._let_go()
        return got[0] if len(got) == 1 else b"".join(got)

    def leave(self, reader: "Reader") -> None:
        """One reader less."""
        self._readers.discard(reader)
        self._let_go()
        if self._released and self.gone:
            self.clear()

    # ── what is held ──────────────────────────────────────────────────────────────────────────────

    def _append(self, piece: bytes) -> None:
        self._pieces[self._next] = piece
        self._next += 1
        self.size += len(piece)
        self._held += len(piece) + PIECE_COST
        if self._stream:
            self._count(len(piece) + PIECE_COST)

    def _trim(self) -> None:
        """Drop the oldest where there is no room, and then also what everybody has had.

        What the fastest is still to get stays in any case: the story has waited for that reader.
        """
        if self._first == 0 and self._held <= self._most and not self._room.full:
            return
        positions = [reader.position for reader in self._readers] or [self._next]
        slowest, fastest = min(positions), max(positions)
        while self._first < fastest and (self._first < slowest or self._held > self._most or self._room.full):
            self._drop()

    def _drop(self) -> None:
        cost = len(self._pieces.pop(self._first)) + PIECE_COST
        self._first += 1
        self._held -= cost
        if self._counted:
            self._count(-cost)

    def _count(self, more: int) -> None:
        self._counted += more
        if more > 0:
            self._room.grow(more)
        else:
            self._room.shrink(-more)

    def _lead(self) -> int:
        """By how much the story is ahead of the fastest reader."""
        return self.size - max((reader.taken for reader in self._readers), default=self.size)

    def _ring(self) -> None:
        for reader in self._readers:
            reader.news.set()

    def _let_go(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self._lead() <= AHEAD_BYTES:
            waiter.set_result(None)


class Reader:
    """One who is told."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.position = 0
        """Number of the piece to be had next."""
        self.taken = 0
        """Bytes had so far."""
        self.news = asyncio.Event()

    async def begun(self) -> Mapping[str, str]:
        """The headers, once the answer has begun. Raises what kept it from beginning."""
        while self.replay.headers is None:
            if self.replay.end is not None:
                raise _told_anew(self.replay.error)
            await self._something()
        return self.replay.headers

    async def whole(self) -> None:
        """Wait for the end. Raises what kept it from being a good one."""
        while self.replay.end is None:
            await self._something()
        if self.replay.end is not End.WHOLE:
            raise _told_anew(self.replay.error)

    async def next(self) -> bytes:
        """The next bytes; none at the end. Raises `FellBehind`."""
        while True:
            data = self.ready()
            if data or self.replay.end is not None:
                return data
            await self._something()

    def ready(self) -> bytes:
        """What can be had without waiting. Raises `FellBehind`."""
        return self.replay.take(self)

    def leave(self) -> None:
        """Read no more."""
        self.replay.leave(self)

    async def _something(self) -> None:
        self.news.clear()
        await self.news.wait()


def _told_anew(error: BaseException | None) -> Exception:
    """What one of several is told: an exception of its own, for a traceback belongs to one task."""
    if error is None:
        return unavailable("The proxy shut down before the answer was there.", "draining")
    if isinstance(error, Failure):
        return type(error)(error.told)
    again = RuntimeError("the shared call failed")
    again.__cause__ = error
    return again


class _Pace:
    """What the story waits for when it is far ahead; not a coroutine, for last words are not waited for."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    def __await__(self) -> Generator[Any, None, None]:
        return self._replay.caught_up().__await__()
