"""Answers of our own making: OpenAI's error shape, small JSON documents, and the headers on all of them.

Used by the door, the handlers and the connection's own error path, so that a refusal looks the same
wherever it is born. It must never show more than a `Told` holds.
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict

from proxy.errors import Told
from proxy.wire.failure import error_body

JSON = "application/json"
SERVER = "fallthrough"


def identified(request_id: str, echo: str | None) -> CIMultiDict[str]:
    """Headers that every answer carries."""
    headers = CIMultiDict({"server": SERVER, "x-request-id": request_id})
    if echo is not None:
        headers["x-client-request-id"] = echo
    return headers


def document(content: Mapping[str, Any], headers: CIMultiDict[str], *, status: int = 200) -> web.Response:
    """A small JSON answer."""
    return web.Response(body=orjson.dumps(content), status=status, headers=headers, content_type=JSON)


def refusal(told: Told, headers: CIMultiDict[str]) -> web.Response:
    """An error answer, with the hints that OpenAI's SDKs obey."""
    headers.extend(told.headers)
    if told.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(told.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(told.retry_after_s * 1000))
    if told.should_retry is not None:
        headers["x-should-retry"] = "true" if told.should_retry else "false"
    return web.Response(body=error_body(told), status=told.status, headers=headers, content_type=JSON)
