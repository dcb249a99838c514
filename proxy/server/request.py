"""One request of a caller as it arrives: its head, and its body when it is wanted.

`connection.py` fills it from the parser; the door and the handlers read it. It knows no path and no key.
A body is only kept as long as it may become somebody's: what is too much is counted and dropped.
"""

import asyncio
from collections.abc import Callable

from proxy.errors import Failure


class Headers:
    """The headers of a request by lower-case name; a name may come more than once.

    A value is made a text when somebody asks for it, since most are never asked for; bytes that are not
    UTF-8 survive as surrogates.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, list[bytes]] = {}

    def add(self, name: bytes, value: bytes) -> None:
        """One line of the head."""
        known = name.decode("latin-1").lower()
        if known in self._values:
            self._values[known].append(value)
        else:
            self._values[known] = [value]

    def get(self, name: str) -> str | None:
        """The first value, or None."""
        values = self._values.get(name)
        return None if values is None else values[0].decode("utf-8", "surrogateescape").strip(" \t")

    def all(self, name: str) -> list[str]:
        """Every value."""
        values = self._values.get(name, ())
        return [value.decode("utf-8", "surrogateescape").strip(" \t") for value in values]

    def count(self, name: str) -> int:
        """How often it came."""
        return len(self._values.get(name, ()))

    def any_of(self, names: frozenset[str]) -> bool:
        """Whether one of `names` came: a single look where a call has none of them, as most calls."""
        return not names.isdisjoint(self._values)

    def __contains__(self, name: str) -> bool:
        return name in self._values


class Request:
    """One request; complete as far as its head, and growing."""

    __slots__ = (
        "_dropped",
        "_failure",
        "_limit",
        "_pieces",
        "_size",
        "_waiter",
        "answered",
        "ask_for_body",
        "begun",
        "headers",
        "keep",
        "method",
        "target",
        "version",
        "whole",
    )

    def __init__(self, limit: int, ask_for_body: Callable[[], None]) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._dropped = False
        self._failure: Failure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.ask_for_body = ask_for_body
        """Tells a caller who waits for it to go on (RFC 9110, 10.1.1)."""
        self.method = ""
        self.target = b""
        self.version = ""
        """`1.1` or `1.0`, or what else the request says."""
        self.headers = Headers()
        self.keep = False
        """Whether the connection may serve another request after this one."""
        self.whole = False
        """Whether every byte of it has come."""
        self.begun = False
        """Whether any byte of its answer has been sent."""
        self.answered = False
        """Whether all of its answer has been sent; whoever answered may still have accounts to settle."""

    @property
    def path(self) -> str:
        """The path as it was asked for, still percent-encoded, without query; `` if there is none."""
        target = self.target.decode("latin-1").partition("?")[0].partition("#")[0]
        if not target.startswith("/"):
            # A proxy's form, which every server must take (RFC 9112, 3.2.2); the host in it decides nothing.
            _, _, rest = target.partition("://")
            slash = rest.find("/")
            target = rest[slash:] if slash >= 0 else ""
        return target

    @property
    def too_large(self) -> bool:
        """Whether more came than may come."""
        return self._dropped

    # ── filled by the connection ──────────────────────────────────────────────────────────────────

    def add(self, piece: bytes) -> None:
        """A piece of the body."""
        self._size += len(piece)
        if self._size > self._limit:
            self._dropped = True
            self._pieces.clear()
            self._wake()
        else:
            self._pieces.append(piece)

    def end(self) -> None:
        """All of it has come."""
        self.whole = True
        if self._waiter is not None:
            self._wake()

    def spoil(self, failure: Failure) -> None:
        """What should have been its body is none."""
        self._failure = failure
        self._wake()

    # ── read by the handlers ──────────────────────────────────────────────────────────────────────

    @property
    def body(self) -> bytes:
        """What has come of the body: all of it once it is `whole`, nothing if it is `too_large`."""
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def arrival(self) -> None:
        """Wait until the body is whole, or `too_large`. Raises what spoilt it."""
        while not self.whole and not self._dropped:
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
