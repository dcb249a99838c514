"""The outermost door: the only place where a failure becomes an HTTP answer.

The connection calls it with every request that could be parsed, as soon as its head is there. It names
the request, finds its row in the list of endpoints, lets the guard look at the key, and hands on; whatever
comes back up, expected or not, leaves as OpenAI's error shape with the request's id. Nothing is decided
here by the Host header, nothing is redirected, and no body is read here.
"""

import asyncio
import logging
import re
from http import HTTPStatus

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
from proxy.server.guard import UNREADABLE, Guard
from proxy.server.request import Headers, Request
from proxy.server.shapes import identified, new_request_id, refusal
from proxy.server.visit import NOBODY, Entry, Line, Service, Visit

log = logging.getLogger("proxy.door")

CLIENT_ID = re.compile(r"[!-~]{1,512}")
"""Printable ASCII without spaces: safe in a header and in a log line."""

SPOKEN = frozenset({"1.0", "1.1"})
CLIENT_ID_HEADER = "x-client-request-id"
SELDOM = frozenset({"transfer-encoding", "content-encoding", "expect", "upgrade", CLIENT_ID_HEADER})
"""Headers for the door that few requests have; what they may say is looked at where one has come."""


class Door:
    """The entrance of one listener."""

    def __init__(self, entries: tuple[Entry, ...], guard: Guard, service: Service) -> None:
        self._entries = entries
        self._exact = {(each.method, each.path.encode()): each for each in entries if not each.open_ended}
        self._guard = guard
        self._service = service
        self._gate = service.gate

    async def __call__(self, line: Line, request: Request) -> None:
        """Answer one request over the line it came by."""
        headers, gate = request.headers, self._gate
        seldom = headers.any_of(SELDOM)
        echo = _echo(headers) if seldom else None
        visit = Visit(request, line, new_request_id(self._service.clock, self._service.dice), echo)
        if gate.draining or (seldom and "upgrade" in headers):
            request.keep = False
        try:
            if request.version != "1.1" or headers.count("host") != 1:
                _check_odd(request)
            if seldom:
                _check_seldom(request)
            entry, tail = self._exact.get((request.method, request.target)), ""
            if entry is None:
                entry, tail = self._row(request)
            identity = self._identify(visit) if entry.authenticated else NOBODY
            answer = await entry.handler(Visit(request, line, visit.id, echo, identity, tail))
            if answer is not None:
                line.send(request, answer)
        except Failure as failure:
            # Nobody reads whence it came, and the frames there know it: each would keep the other.
            self._refuse(visit, failure.with_traceback(None))
        except asyncio.CancelledError:
            self._cut_short(visit)
        except Exception:  # the outermost door: a defect becomes a 500 and a log line with its id
            log.exception("request failed", extra={"request_id": visit.id, "client_request_id": echo})
            self._refuse(visit, our_fault(visit.id))
        if gate.draining:
            request.keep = False

    def _row(self, request: Request) -> tuple[Entry, str]:
        """The row for this method and path; 404 or 405 if there is none."""
        path = request.path
        method = "GET" if request.method == "HEAD" else request.method
        exact = self._exact.get((method, path.encode()))
        if exact is not None:
            return exact, ""
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

    def _identify(self, visit: Visit) -> Identity:
        """Who calls. Whatever goes wrong here, the answer is 401 and never an identity."""
        try:
            return self._guard(visit.request.headers)
        except Refused:
            raise
        except Exception:  # fail closed: a defect in authentication must not let anyone in
            log.exception("authentication failed", extra={"request_id": visit.id})
            raise unauthorized(UNREADABLE) from None

    def _cut_short(self, visit: Visit) -> None:
        """A cancelled request: gone callers get nothing; those cut by the drain get a last word."""
        if not self._gate.cut or visit.line.lost or visit.request.begun:
            raise asyncio.CancelledError
        task = asyncio.current_task()  # not before: the task keeps what is raised, which keeps this frame
        if task is not None:
            task.uncancel()
        visit.request.keep = False
        self._refuse(visit, unavailable("The proxy shut down before the answer was there.", "draining"))

    def _refuse(self, visit: Visit, failure: Failure) -> None:
        """The error answer; if something has already been sent, the connection is cut instead."""
        if visit.request.begun:
            log.error("failed after the answer had begun", extra={"request_id": visit.id})
            visit.line.abort()
            raise asyncio.CancelledError
        visit.line.send(visit.request, refusal(failure.told, identified(visit.id, visit.echo)))


def _echo(headers: Headers) -> str | None:
    given = headers.get(CLIENT_ID_HEADER) or ""
    return given if CLIENT_ID.fullmatch(given) else None


def _told(status: int, message: str, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Told:
    return Told(status, message, "invalid_request_error", code, should_retry=False, headers=headers)


def _check_odd(request: Request) -> None:
    """What the parser lets through and we do not: all but HTTP/1.1 with one host, and what 1.0 may do."""
    if request.version not in SPOKEN:
        raise bad_request("Only HTTP/1.0 and HTTP/1.1 are spoken here.", code="bad_request_head")
    if request.version == "1.1" or request.headers.count("host") > 1:  # RFC 9112, 3.2
        raise bad_request("The request needs exactly one Host header.", code="bad_request_head")


def _check_seldom(request: Request) -> None:
    """What few requests say, and whether it is understood."""
    headers = request.headers
    if any(coding.lower() != "chunked" for coding in headers.all("transfer-encoding")):
        raise bad_request("Only 'Transfer-Encoding: chunked' is understood.", code="bad_request_head")
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        message = "Send the body without content-encoding."
        raise CallerFault(_told(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, "unsupported_content_encoding"))
    expect = headers.get("expect")
    if expect is not None and request.version == "1.1" and expect.lower() != "100-continue":
        raise CallerFault(_told(417, "Only 'Expect: 100-continue' is understood.", "expectation_failed"))
