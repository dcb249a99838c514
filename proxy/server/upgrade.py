"""The handshake of a WebSocket (RFC 6455, 4.2): what must be asked, and what is answered.

`conversation.py` calls it once the door knows who asks. A page in a browser sends an `Origin`, which it
cannot forge; only those that the settings name are let in, whatever key they have. A browser can set no
header either, so that a key may also come among the subprotocols: never in the address, which is logged
everywhere, and never in the answer.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection

from proxy.errors import CallerFault, Told, bad_request
from proxy.server.request import Headers, Request
from proxy.server.shapes import SERVER, head, identified

SUBPROTOCOL = "fallthrough"
KEY_PREFIX = "api-key."
"""What a subprotocol begins with that is a key."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

FOREIGN_ORIGIN = Told(
    403,
    "Pages of this origin may not call here; settings.origins names those that may.",
    "invalid_request_error",
    "origin_not_allowed",
    should_retry=False,
)


def asks(headers: Headers) -> bool:
    """Whether a request asks for a WebSocket."""
    return "websocket" in listed(headers, "upgrade") and "upgrade" in listed(headers, "connection")


def listed(headers: Headers, name: str) -> list[str]:
    """The members of a header that is a list, in lower case."""
    return [part.lower() for part in offered(headers, name)]


def offered(headers: Headers, name: str) -> list[str]:
    """The members of a header that is a list, as they came."""
    return [part.strip() for value in headers.all(name) for part in value.split(",") if part.strip()]


def keys_among(headers: Headers) -> list[str]:
    """The keys among the subprotocols that a WebSocket is asked for with."""
    if "sec-websocket-protocol" not in headers or not asks(headers):
        return []
    names = offered(headers, "sec-websocket-protocol")
    return [name.removeprefix(KEY_PREFIX) for name in names if name.startswith(KEY_PREFIX)]


def demand(request: Request, origins: Collection[str]) -> None:
    """Raises what a request must be told that is not let in as a WebSocket."""
    headers = request.headers
    if request.method != "GET" or request.version != "1.1" or not asks(headers):
        raise _upgrade_required("This path is for WebSockets: ask for one with 'Upgrade: websocket'.")
    if headers.all("sec-websocket-version") != ["13"]:
        raise _upgrade_required("Only version 13 of WebSocket is spoken here.")
    if "content-length" in headers or "transfer-encoding" in headers:
        raise bad_request("A request for a WebSocket has no body.", code="bad_request_head")
    keys = headers.all("sec-websocket-key")
    if len(keys) != 1 or not _is_nonce(keys[0]):
        raise bad_request("Sec-WebSocket-Key must be 16 bytes in base64, once.", code="bad_request_head")
    names = offered(headers, "sec-websocket-protocol")
    if names and SUBPROTOCOL not in names:
        message = f"Of the subprotocols only '{SUBPROTOCOL}' is spoken here; it must be among them."
        raise bad_request(message, code="unknown_subprotocol")
    for origin in headers.all("origin"):
        if origin not in origins:
            raise CallerFault(FOREIGN_ORIGIN)


def accepted(request: Request, request_id: str, echo: str | None) -> bytes:
    """The head of the answer that makes the connection a WebSocket."""
    nonce = (request.headers.get("sec-websocket-key") or "").encode("latin-1")
    accept = base64.b64encode(hashlib.sha1(nonce + _GUID, usedforsecurity=False).digest()).decode()
    lines = {
        **identified(request_id, echo),
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": accept,
    }
    if SUBPROTOCOL in offered(request.headers, "sec-websocket-protocol"):
        lines["sec-websocket-protocol"] = SUBPROTOCOL
    return head(101, lines, SERVER)


def _is_nonce(value: str) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _upgrade_required(message: str) -> CallerFault:
    headers = (("upgrade", "websocket"), ("sec-websocket-version", "13"))
    told = Told(
        426, message, "invalid_request_error", "upgrade_required", should_retry=False, headers=headers
    )
    return CallerFault(told)
