"""`fallthrough health`: asks a running proxy how it is, for exec probes that have no HTTP client.

Exit status 0: fine; 1: not, or nobody answered.
"""

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import click

TIMEOUT_S = 3.0


@click.command(epilog="Example: fallthrough health --url http://127.0.0.1:8082/readyz")
@click.option(
    "--url",
    default="http://127.0.0.1:8080/healthz",
    show_default=True,
    envvar="FALLTHROUGH_HEALTH_URL",
    help="What to ask: /healthz (it lives) or /readyz (it takes calls).",
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
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("expected http://HOST:PORT/PATH")
    connection = HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path or "/healthz")
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode("utf-8", "replace").strip()
    finally:
        connection.close()
