"""One request of a caller as it arrives: its head, and its body when it is wanted.

`connection.py` fills it from the parser; the door and the handlers read it. It knows no path and no key.
A body is only kept as long as it may become somebody's: what is too much is counted and dropped.
"""

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from proxy.errors import Failure
from proxy.server.pieces import PIECES_MOST, Pieces, fold


class Headers:
    """The headers of a request by lower-case name; a name may come more than once.

    A value is made a text when somebody asks for it, since most are never asked for; bytes that are not
    UTF-8 survive as surrogates.
    """

    __slots__ = ("_further", "_values")

    def __init__(self, names: Sequence[bytes] = (), values: Sequence[bytes] = ()) -> None:
        """The lines of a head, a name and a value each; where no name comes twice all are taken at once."""
        self._further: dict[str, list[bytes]] = {}
        """Of a name that came again: its values, but for the first."""
        known = b"\n".join(names).lower().decode("latin-1").split("\n")
        self._values = dict(zip(known, values))  # noqa: B905 - whether they are as many is asked in the next line
        if not len(self._values) == len(known) == len(values):
            self._values.clear()
            for name, value in zip(names, values, strict=True):
                self.add(name, value)

    def add(self, name: bytes, value: bytes) -> None:
        """One more line."""
        known = name.decode("latin-1").lower()
        if known in self._values:
            self._further.setdefault(known, []).append(value)
        else:
            self._values[known] = value

    def get(self, name: str) -> str | None:
        """The first value, or None."""
        value = self._values.get(name)
        return None if value is None else value.decode("utf-8", "surrogateescape").strip(" \t")

    def only(self, name: str) -> str | None:
        """The value of a name that came once; None where it did not come, or came again."""
        value = self._values.get(name)
        if value is None or name in self._further:
            return None
        return value.decode("utf-8", "surrogateescape").strip(" \t")

    def all(self, name: str) -> list[str]:
        """Every value."""
        value = self._values.get(name)
        if value is None:
            return []
        values = (value, *self._further.get(name, ()))
        return [each.decode("utf-8", "surrogateescape").strip(" \t") for each in values]

    def count(self, name: str) -> int:
        """How often it came."""
        return (name in self._values) + len(self._further.get(name, ()))

    def any_of(self, names: frozenset[str]) -> bool:
        """Whether one of `names` came: a single look where a call has none of them, as most calls."""
        return not names.isdisjoint(self._values)

    def __contains__(self, name: str) -> bool:
        return name in self._values


class Request(Struct, eq=False):
    """One request; complete as far as its head, and growing."""

    limit: int
    """Bytes that its body may have."""
    ask_for_body: Callable[[], None]
    """Tells a caller who waits for it to go on (RFC 9110, 10.1.1)."""
    method: str = ""
    target: bytes = b""
    version: str = ""
    """`1.1` or `1.0`, or what else the request says."""
    headers: Headers = field(default_factory=Headers)
    keep: bool = False
    """Whether the connection may serve another request after this one."""
    whole: bool = False
    """Whether every byte of it has come."""
    too_large: bool = False
    """Whether more came than may come."""
    begun: bool = False
    """Whether any byte of its answer has been sent."""
    answered: bool = False
    """Whether all of its answer has been sent; whoever answered may still have accounts to settle."""
    _pieces: Pieces = []
    _size: int = 0
    _failure: Failure | None = None
    _waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"Request({self.method!r}, …)"

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

    # ── filled by the connection ──────────────────────────────────────────────────────────────────

    def add(self, pieces: Sequence[bytes]) -> None:
        """So much of the body has come."""
        self._pieces += pieces
        self._size += sum(map(len, pieces))
        if self._size > self.limit:
            self.too_large = True
            self._pieces.clear()
            self._wake()
        elif len(self._pieces) > PIECES_MOST:
            fold(self._pieces)

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
        return b"".join(self._pieces)  # which copies nothing where there is one

    async def arrival(self) -> None:
        """Wait until the body is whole, or `too_large`. Raises what spoilt it."""
        while not self.whole and not self.too_large:
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
