"""From the name of an upstream to an open connection: resolve, connect, shake hands.

`client.py` reaches through it whenever the pool has nothing to offer. Names are resolved off the loop
and remembered for a few seconds; addresses are tried as RFC 8305 says (happy eyeballs). Certificates
are always checked. Whatever fails here, not a byte of the call has left.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import aiohappyeyeballs
from msgspec import Struct

from proxy.call import Kind, Phase, Signal, UpstreamLost

DNS_S = 10.0
"""How long the addresses of a name are remembered."""
SECOND_FAMILY_S = 0.25
"""Head start of the first address family (RFC 8305, 5)."""
_PORTS: Mapping[str, int] = {"http": 80, "https": 443}

P = TypeVar("P", bound=asyncio.Protocol)

Resolve = Callable[[str, int], Awaitable[Sequence[aiohappyeyeballs.AddrInfoType]]]


class Place(Struct, frozen=True):
    """A base URL, taken apart once."""

    host: str
    port: int
    tls: bool
    path: bytes
    """What every path begins with."""
    authority: bytes
    """For the `host` header."""


def place_of(base_url: str) -> Place:
    """Where `base_url` leads. Raises `UpstreamLost` if that is nowhere."""
    try:
        parts = urlsplit(base_url)
        name = parts.hostname or ""
        host = name.encode("ascii" if name.isascii() else "idna")
        port = parts.port or _PORTS[parts.scheme]
        path = parts.path.encode("ascii")
    except (ValueError, KeyError) as error:
        raise _unreachable(error) from error
    shown = b"[%b]" % host if b":" in host else host
    authority = shown if port == _PORTS[parts.scheme] else b"%b:%d" % (shown, port)
    return Place(host.decode("ascii"), port, parts.scheme == "https", path, authority)


async def resolve(host: str, port: int) -> Sequence[aiohappyeyeballs.AddrInfoType]:
    """The addresses of a host, by the system's resolver in a thread. Raises `OSError`, `UnicodeError`."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def default_tls() -> ssl.SSLContext:
    """Certificates checked against the system's authorities, or those that `SSL_CERT_FILE` names."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Reacher:
    """Opens connections; one for the whole program."""

    def __init__(self, resolver: Resolve = resolve, tls: Callable[[], ssl.SSLContext] = default_tls) -> None:
        self._resolve = resolver
        self._new_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._known: dict[tuple[str, int], tuple[float, Sequence[aiohappyeyeballs.AddrInfoType]]] = {}

    async def open(self, place: Place, connect_s: float, make: Callable[[], P]) -> P:
        """A new connection whose protocol `make` has made. Raises `UpstreamLost` within `connect_s`."""
        loop = asyncio.get_running_loop()
        tls = self._context() if place.tls else None
        try:
            async with asyncio.timeout(connect_s):
                sock = await aiohappyeyeballs.start_connection(
                    await self._addresses(place, loop.time()),
                    happy_eyeballs_delay=SECOND_FAMILY_S,
                    interleave=1,
                    loop=loop,
                )
                _, protocol = await loop.create_connection(
                    make, sock=sock, ssl=tls, server_hostname=place.host if tls is not None else None
                )
        except (OSError, UnicodeError) as error:  # time-outs and refused certificates are among them
            # Without its trace: the first frame in it keeps the error, a circle around all of the call.
            raise _unreachable(error) from error.with_traceback(None)
        return protocol

    async def _addresses(self, place: Place, now: float) -> Sequence[aiohappyeyeballs.AddrInfoType]:
        name = (place.host, place.port)
        until, found = self._known.get(name, (0.0, ()))
        if now >= until:
            found = await self._resolve(*name)
            if not found:
                raise OSError(f"{place.host} has no address")
            self._known = {each: known for each, known in self._known.items() if now < known[0]}
            self._known[name] = (now + DNS_S, found)
        return found

    def _context(self) -> ssl.SSLContext:
        """Made when it is first needed, for reading the system's authorities takes its time."""
        if self._tls is None:
            self._tls = self._new_tls()
        return self._tls


def _unreachable(error: Exception) -> UpstreamLost:
    return UpstreamLost(Signal(Kind.UNREACHABLE, Phase.CONNECT, detail=type(error).__name__))
