"""What a caller sends over one connection, parsed: bytes in, requests out.

`connection.py` feeds it. llhttp (through httptools) parses in its strict ways: what can be read in two
ways is `Malformed`, and so is what is beyond all measure. A head becomes a `Request` when it is whole, a
body is handed on as it comes. It answers nothing, and decides nothing about what it has read.
"""

from collections.abc import Callable, Sequence

import httptools

from proxy.server.request import Headers, Request

FIELD_BYTES = 8 * 1024
HEAD_BYTES = 32 * 1024
FIELDS = 128
UNTOLD_BYTES = 2 * HEAD_BYTES
"""Since the parser last came to the end of a head or told of a body: it keeps what it has not told of."""
_FRAMING = ("content-length", "transfer-encoding")
_DEAF = httptools.HttpRequestParser(object())
"""Tells nobody of anything."""


class Malformed(Exception):
    """What came is no HTTP that is understood here."""


class Upgraded(Exception):
    """The request whose head is whole asked for another protocol: it is the last one that is read."""

    def __init__(self, behind: bytes | None) -> None:
        super().__init__()
        self.behind = behind
        """What came after it and is no body of its own; None: it has a body, and more of that may come."""


class _Body:
    """A parser's other end that wants nothing but the body."""

    def __init__(self, incoming: "Incoming") -> None:
        self.on_body = incoming.on_body
        self.on_message_complete = incoming.on_message_complete


class Incoming:
    """The requests of one connection."""

    __slots__ = (
        "_ask_for_body",
        "_before",
        "_begin",
        "_body",
        "_fed",
        "_limit",
        "_names",
        "_parser",
        "_target",
        "_untold",
        "_upgraded",
        "_values",
        "arriving",
        "on_body",
        "on_url",
    )

    def __init__(
        self, limit: int, ask_for_body: Callable[[], None], begin: Callable[[Request], None]
    ) -> None:
        self._limit = limit
        self._ask_for_body = ask_for_body
        self._begin = begin
        """Is told of each request as soon as its head is whole; raises if it can have no more."""
        self._target: list[bytes] = []
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self._body: list[bytes] = []
        """What the parser found in the bytes that have just come, or of a head that is not whole yet."""
        self.on_url = self._target.append
        self.on_body = self._body.append
        self._parser = httptools.HttpRequestParser(self)
        self._upgraded = False
        self._untold = 0
        """Bytes of reads since the one in which the parser last told of anything."""
        self._before = 0
        """Bytes of that one: the beginning of a head may lie in it, behind what was told of."""
        self._fed = 0
        """All of these with what is being read now: no head that ends in it is longer."""
        self.arriving: Request | None = None
        """Whose body is coming in."""

    def feed(self, data: bytes | bytearray) -> None:
        """Read what has come. Raises `Malformed`, and once perhaps `Upgraded`."""
        self._untold += len(data)
        self._fed = self._before + self._untold
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            raise Malformed from error
        if self._body:
            self._pass_on()
        if self._untold == 0:
            self._before = len(data)
        elif self._untold > UNTOLD_BYTES:
            raise Malformed

    def forget(self) -> None:
        """No more will come: whom to tell is forgotten, for who keeps this would be kept by it."""
        self._parser = _DEAF
        self._ask_for_body = self._begin = _nobody
        self.arriving = None

    def _decline(self, rest: bytes | bytearray) -> None:
        """An upgrade: unless it is made, it is answered as if it had not been asked for, and is the last.

        The parser takes what follows such a head for the other protocol; it is this request's body, if any.
        """
        self._upgraded = True
        request = self.arriving
        if request is None:
            raise Upgraded(None)
        framing = [(name, value) for name in _FRAMING for value in request.headers.all(name)]
        if not framing:
            self.on_message_complete()
            raise Upgraded(bytes(rest))
        self._parser = httptools.HttpRequestParser(_Body(self))
        again = "".join(f"{name}: {value}\r\n" for name, value in framing)
        self.feed(f"POST / HTTP/1.1\r\n{again}\r\n".encode("utf-8", "surrogateescape") + bytes(rest))
        raise Upgraded(None)

    def _pass_on(self) -> None:
        """Give what has come of a body to whose it is."""
        self._untold = 0
        body = self._body
        if self.arriving is not None:
            self.arriving.add(body)
        body.clear()

    # ── from the parser ───────────────────────────────────────────────────────────────────────────

    def on_header(self, name: bytes, value: bytes) -> None:
        names = self._names
        names.append(name)
        self._values.append(value)
        if len(names) > FIELDS:
            raise Malformed

    def on_headers_complete(self) -> None:
        target, names, values = b"".join(self._target), self._names, self._values
        if self._fed > FIELD_BYTES:  # nothing of less can hold too much
            _measure(target, names, values)
        self._untold = 0
        parser = self._parser
        request = self.arriving = Request(
            self._limit,
            self._ask_for_body,
            parser.get_method().decode("latin-1"),
            target,
            parser.get_http_version(),
            Headers(names, values),
            parser.should_keep_alive(),
        )
        self._target.clear()
        names.clear()
        values.clear()
        self._begin(request)

    def on_message_complete(self) -> None:
        request = self.arriving
        if request is not None and (self._upgraded or not self._parser.should_upgrade()):
            if self._body:
                self._pass_on()
            self._untold = 0
            if self._names:  # trailers are nobody's headers
                self._names.clear()
                self._values.clear()
            request.end()
            self.arriving = None


def _nobody(*_: object) -> None:
    """Who is told once nobody is left."""


def _measure(target: bytes, names: Sequence[bytes], values: Sequence[bytes]) -> None:
    """Raises where a head is beyond all measure."""
    sizes = [len(name) + len(value) for name, value in zip(names, values, strict=True)]
    if max((len(target), *sizes)) > FIELD_BYTES or len(target) + sum(sizes) > HEAD_BYTES:
        raise Malformed
