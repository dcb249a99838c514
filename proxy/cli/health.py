"""`fallthrough health`: asks a running proxy how it is, for exec probes that have no HTTP client.

Exit status 0: fine; 1: not, or nobody answered.
"""

import socket
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import click

TIMEOUT_S = 3.0
UNIX = "unix:"
FORMS = "expected http://HOST:PORT/PATH or unix:SOCKET:/PATH"


class UnixConnection(HTTPConnection):
    """HTTP over the Unix socket at a path."""

    def __init__(self, place: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._place = place

    def connect(self) -> None:
        """Connect to the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._place)


@click.command(epilog="Example: fallthrough health --url http://127.0.0.1:8082/readyz")
@click.option(
    "--url",
    default="http://127.0.0.1:8080/healthz",
    show_default=True,
    envvar="FALLTHROUGH_HEALTH_URL",
    help="What to ask: /healthz (it lives) or /readyz (it takes calls); of a socket unix:SOCKET:/readyz.",
)
def health(url: str) -> None:
    """Ask a running proxy how it is; exit 0 if it is well, else 1."""
    try:
        status, text = _ask(url)
    except (OSError, HTTPException, ValueError) as error:
        status, text = 0, f"{type(error).__name__}: {error}"
    click.echo(text, err=status != 200)
    sys.exit(0 if status == 200 else 1)


def _ask(url: str) -> tuple[int, str]:
    connection, path = _line(url)
    try:
        connection.request("GET", path or "/healthz")
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode("utf-8", "replace").strip()
    finally:
        connection.close()


def _line(url: str) -> tuple[HTTPConnection, str]:
    """The connection to ask over, not yet made, and the path to ask for."""
    if url.startswith(UNIX):
        place, _, path = url.removeprefix(UNIX).partition(":")
        return UnixConnection(place, TIMEOUT_S), path
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(FORMS)
    return HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S), parts.path
