"""Answers of our own making: OpenAI's error shape, small JSON documents, and the headers on all of them.

Used by the door, the handlers and the connection's own error path, so that a refusal looks the same
wherever it is born. It must never show more than a `Told` holds.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from msgspec import Struct

from proxy.errors import Told
from proxy.ports import Clock, Dice
from proxy.wire.failure import error_body

JSON = "application/json"
SERVER = b"server: fallthrough\r\n"
"""A line of every head."""
SPLITTERS = b"\r\n\0"
"""What must not be in a head, but for its line ends."""

_STATUS_LINES: Mapping[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Answer(Struct, frozen=True):
    """A whole answer, to be sent as it is."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Not what it says."""
        return f"Answer({self.status}, {len(self.body)} bytes)"


def new_request_id(clock: Clock, dice: Dice) -> str:
    """`req_…`: when, in microseconds, then chance, so that neighbours in time are so in every index."""
    return f"req_{clock.wall_us():014x}{dice.token()[-14:]}"


def identified(request_id: str, echo: str | None) -> dict[str, str]:
    """Headers that every answer carries and that are its own."""
    headers = {"x-request-id": request_id}
    if echo is not None:
        headers["x-client-request-id"] = echo
    return headers


def document(content: Mapping[str, Any], headers: Mapping[str, str], *, status: int = 200) -> Answer:
    """A small JSON answer."""
    return Answer(status, {**headers, "content-type": JSON}, orjson.dumps(content))


def refusal(told: Told, headers: Mapping[str, str]) -> Answer:
    """An error answer, with the hints that OpenAI's SDKs obey."""
    hints: dict[str, str] = dict(told.headers)
    if told.retry_after_s is not None:
        hints["retry-after"] = str(math.ceil(told.retry_after_s))
        hints["retry-after-ms"] = str(math.ceil(told.retry_after_s * 1000))
    if told.should_retry is not None:
        hints["x-should-retry"] = "true" if told.should_retry else "false"
    return Answer(told.status, {**headers, **hints, "content-type": JSON}, error_body(told))


def head(status: int, headers: Mapping[str, str], own: bytes) -> bytes:
    """The status line and the headers as they go over the wire (RFC 9112, 4); `own`: lines that are ready.

    Raises `ValueError` where a value would split the head.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    data = lines.encode("utf-8", "surrogateescape")
    if len(data) - len(data.translate(None, SPLITTERS)) != 2 * len(headers):
        raise ValueError("a header would split the answer's head")
    return b"%b%b%b\r\n" % (_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, data, own)
