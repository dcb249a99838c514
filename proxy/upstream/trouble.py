"""What an error of the network means, in the words of the house.

`client.py` asks for every exception that aiohttp or the system raises. The order of the table
matters: aiohttp's exceptions inherit from each other and from the system's.
"""

import aiohttp

from proxy.call import Kind, Phase, Signal

NEVER_SENT: tuple[type[Exception], ...] = (
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectorError,
    aiohttp.InvalidURL,
    UnicodeError,
)
"""The request never left: DNS, refused, unreachable, TLS, or no connection in time."""
GARBAGE: tuple[type[Exception], ...] = (aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError)
"""What came is not HTTP as we accept it."""


def signal_of(error: Exception, phase: Phase, status: int | None) -> Signal:
    """The signal for `error`, met when the attempt had got as far as `phase`."""
    detail = type(error).__name__
    if isinstance(error, NEVER_SENT):
        return Signal(Kind.UNREACHABLE, Phase.CONNECT, detail=detail)
    if isinstance(error, GARBAGE):
        return Signal(Kind.BAD_ANSWER, phase, status, detail=detail)
    if isinstance(error, TimeoutError):
        return Signal(Kind.TIMEOUT, phase, status, detail=detail)
    return Signal(Kind.RESET, phase, status, detail=detail)


def closed_while_idle(error: Exception) -> bool:
    """Whether a pooled connection failed as one does that was given up before we took it.

    An answer that had begun tells against it: aiohttp hands on the half-read head as the message.
    """
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)
    return isinstance(error, aiohttp.ClientOSError | ConnectionError)
