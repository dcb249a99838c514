"""How a command asks the admin listener of a running proxy, at its address or its Unix socket."""

import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import click
import orjson

TIMEOUT_S = 10.0
ANSWER_MAX = 16 * 1024 * 1024
UNIX = "unix:"


class _AtSocket(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def admin_url(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Where an admin listener may be."""
    if value is None or value.startswith(UNIX):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter("write the admin listener's address: http://HOST:PORT or unix:/PATH")
    return value


def posted(url: str, path: str, data: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object that a POST is answered with; whatever else comes of it is a `ClickException`."""
    parts = urlsplit(url)
    place = url.removeprefix(UNIX)
    connection = (
        _AtSocket(place) if place != url else HTTPConnection(parts.hostname or "", parts.port, TIMEOUT_S)
    )
    try:
        connection.request("POST", path, data, dict(headers))
        answer = connection.getresponse()
        told = orjson.loads(answer.read(ANSWER_MAX))
    except (OSError, HTTPException, ValueError) as error:
        raise click.ClickException(f"{url}: no proxy answers there ({type(error).__name__})") from None
    finally:
        connection.close()
    if answer.status != 200 or not isinstance(told, dict):
        raise click.ClickException(f"{url}: {_message(told)}")
    return told


def _message(told: Any) -> str:
    try:
        return str(told["error"]["message"])
    except (TypeError, KeyError):
        return "this is not the admin listener of a proxy"
