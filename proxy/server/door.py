"""The outermost door: the only place where a failure becomes an HTTP answer.

aiohttp calls it with every request that it could parse. It names the request, finds its row in the
route table, lets the guard look at the key, and hands on; whatever comes back up, expected or not,
leaves as OpenAI's error shape with the request's id. Nothing is decided by the Host header, nothing
is redirected, and no body is read here.
"""

import asyncio
import logging
import re
from http import HTTPStatus

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11

from proxy.call import Identity
from proxy.errors import (
    CallerFault,
    Failure,
    Refused,
    Told,
    bad_request,
    our_fault,
    unauthorized,
    unavailable,
)
from proxy.server.guard import MALFORMED, Guard
from proxy.server.shapes import identified, refusal
from proxy.server.visit import NOBODY, Entry, Service, Visit

log = logging.getLogger("proxy.door")

CLIENT_ID = re.compile(r"[!-~]{1,512}")
"""Printable ASCII without spaces: safe in a header and in a log line."""


class Door:
    """The entrance of one listener."""

    def __init__(self, entries: tuple[Entry, ...], guard: Guard, service: Service) -> None:
        self._entries = entries
        self._guard = guard
        self._service = service

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = "req_" + self._service.dice.token()
        echo = _echo(request)
        try:
            response = await self._admit(request, request_id, echo)
        except Failure as failure:
            response = _refuse(request, failure, request_id, echo)
        except asyncio.CancelledError:
            response = self._cut_short(request, request_id, echo)
        except Exception:  # the outermost door: a defect becomes a 500 and a log line with its id
            log.exception("request failed", extra={"request_id": request_id, "client_request_id": echo})
            response = _refuse(request, our_fault(request_id), request_id, echo)
        # What follows a declined upgrade in the same segment is lost in the parser, so nothing may follow.
        if self._service.gate.draining or "upgrade" in request.headers:
            _close_after(request, response)
        return response

    async def _admit(self, request: web.BaseRequest, request_id: str, echo: str | None) -> web.StreamResponse:
        _check_head(request)
        entry, tail = self._row(request)
        identity = self._identify(request, request_id) if entry.authenticated else NOBODY
        return await entry.handler(Visit(request, request_id, echo, identity, tail))

    def _row(self, request: web.BaseRequest) -> tuple[Entry, str]:
        """The row for this method and path; 404 or 405 if there is none."""
        path = request.rel_url.raw_path
        method = "GET" if request.method == "HEAD" else request.method
        rows = [(entry, tail) for entry in self._entries if (tail := entry.tail(path)) is not None]
        if not rows:
            raise CallerFault(_told(404, "There is nothing at this path.", "unknown_path"))
        for entry, tail in rows:
            if entry.method == method:
                return entry, tail
        allowed = {entry.method for entry, _ in rows}
        allow = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
        told = _told(405, f"This path answers {allow}.", "method_not_allowed", (("allow", allow),))
        raise CallerFault(told)

    def _identify(self, request: web.BaseRequest, request_id: str) -> Identity:
        """Who calls. Whatever goes wrong here, the answer is 401 and never an identity."""
        try:
            return self._guard(request.headers)
        except Refused:
            raise
        except Exception:  # fail closed: a defect in authentication must not let anyone in
            log.exception("authentication failed", extra={"request_id": request_id})
            raise unauthorized(MALFORMED) from None

    def _cut_short(self, request: web.BaseRequest, request_id: str, echo: str | None) -> web.StreamResponse:
        """A cancelled request: gone callers get nothing; those cut by the drain get a last word."""
        task = asyncio.current_task()
        if task is None or not self._service.gate.cut or request.transport is None or _begun(request):
            raise asyncio.CancelledError
        task.uncancel()
        failure = unavailable("The proxy shut down before the answer was there.", "draining")
        return _refuse(request, failure, request_id, echo)


def _echo(request: web.BaseRequest) -> str | None:
    given = request.headers.get("x-client-request-id", "")
    return given if CLIENT_ID.fullmatch(given) else None


def _close_after(request: web.BaseRequest, response: web.StreamResponse) -> None:
    if response.prepared:
        request.protocol.close()
    else:
        response.force_close()


def _begun(request: web.BaseRequest) -> bool:
    return request.writer.output_size > 0


def _told(status: int, message: str, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Told:
    return Told(status, message, "invalid_request_error", code, should_retry=False, headers=headers)


def _check_head(request: web.BaseRequest) -> None:
    """What the parser lets through and we do not."""
    if request.version not in {HttpVersion10, HttpVersion11}:
        raise bad_request("Only HTTP/1.0 and HTTP/1.1 are spoken here.", code="bad_request_head")
    if len(request.headers.getall("host", [])) > 1:
        raise bad_request("The request has more than one Host header.", code="bad_request_head")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        message = "Send the body without content-encoding."
        raise CallerFault(_told(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, "unsupported_content_encoding"))
    expect = request.headers.get("expect")
    if expect is not None and request.version >= HttpVersion11 and expect.lower() != "100-continue":
        raise CallerFault(_told(417, "Only 'Expect: 100-continue' is understood.", "expectation_failed"))


def _refuse(
    request: web.BaseRequest, failure: Failure, request_id: str, echo: str | None
) -> web.StreamResponse:
    """The error answer; if something has already been sent, the connection is cut instead."""
    if _begun(request):
        log.error("failed after the answer had begun", extra={"request_id": request_id})
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError
    response = refusal(failure.told, identified(request_id, echo))
    if request.can_read_body and not request.content.is_eof():
        # The rest of the body is unwanted: one answer, then the connection ends.
        response.force_close()
    return response
