"""`POST /v1/chat/completions`: a visit becomes a `Call`, and the story answers it.

Reads the body within its limits, has the wire room parse it once, and hands it over. It decides
nothing about the call and never touches the answer's bytes.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from msgspec.structs import replace

from proxy.call import Call, Identity
from proxy.errors import CallerFault, Told, bad_request
from proxy.question import HEADER as IDEMPOTENCY_KEY
from proxy.question import Question
from proxy.server import twins
from proxy.server.caller import Stream, Whole
from proxy.server.idempotency import key_of, question
from proxy.server.measured import Measured
from proxy.server.preference import MODEL, UPSTREAM, preferred
from proxy.server.request import Request
from proxy.server.shapes import identified
from proxy.server.visit import Limits, Service, Visit
from proxy.watch import Watch
from proxy.wire import body as wire_body

MICRO = 1_000_000
INLINE_PARSE_BYTES = 256 * 1024
"""Larger bodies are parsed in a thread, so that one caller's images do not hold up everybody's tokens."""

DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?")
SECONDS: Mapping[str | None, float] = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
CONSENT: Mapping[str, bool] = {"true": True, "false": False}
SDK_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
RETRIES = re.compile(r"[0-9]{1,4}")
SESSION = re.compile(r"[!-~]{1,255}")


HEARD = frozenset(
    {
        *UPSTREAM,
        *MODEL,
        "x-request-timeout",
        "x-user-consent",
        "x-stainless-read-timeout",
        "x-stainless-timeout",
        "x-stainless-retry-count",
    }
)
"""Headers that say something of a call (`said_by`)."""
SESSION_HEADER = "x-session-id"
_TELLING = HEARD | {SESSION_HEADER}

Body = tuple[dict[str, Any], int]
"""A parsed body, and its size in bytes."""
Read = Callable[[Visit], Awaitable[Body]]
Named = Callable[[Identity, str | None, str | None], Awaitable[Identity]]
"""The identity with its end person and session, which are known from there on only by pseudonyms."""


class Way(twins.Way, Protocol):
    """The way back to whoever called."""

    @property
    def finished(self) -> bool:
        """Whether the answer was ended cleanly."""
        ...


WayOf = Callable[[Visit, Call, bool], Way]
"""The way for a call; the last word says whether twins may share its answer."""


class ChatCompletions:
    """The handler of chat completions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._read = partial(read_body, limits=service.limits)

    def __call__(self, visit: Visit) -> Awaitable[None]:
        return self.serve(visit, self._read, _way)

    async def serve(self, visit: Visit, read: Read, way_of: WayOf) -> None:
        """Make a call of a visit, whose body comes by `read`, and answer it by what `way_of` gives."""
        gate = self._service.gate
        task = gate.enter(visit.identity.tenant)
        try:
            self._service.twins.tidy()
            key = key_of(visit.request) if IDEMPOTENCY_KEY in visit.request.headers else None
            call = await read_call(visit, read, self._named, self._service.clock.wall_us() // MICRO)
            way = way_of(visit, call, key is not None)
            if key is not None:
                await self._among_twins(way, call, key)
                return
            await self._service.answer(way, call)
            if not way.begun:
                raise RuntimeError("the story ended without an answer")
            if not way.finished:
                way.abort()
        finally:
            gate.leave(task)
            del task  # which keeps what it is cancelled with, which keeps this frame

    async def _among_twins(self, way: Way, call: Call, key: str) -> None:
        asked = await _question(call, key)
        call = replace(call, question=asked)
        await self._service.twins.answer(self._service.answer, call, asked, way)

    async def _named(self, identity: Identity, user: str | None, session: str | None) -> Identity:
        keys = self._service.keys
        if session is not None:
            person, pseudonym = await keys.in_session(identity.tenant, user, session)
            return replace(identity, user=person, session=pseudonym)
        if user is None:
            return identity
        return replace(identity, user=await keys.pseudonym(identity.tenant, user))


async def read_body(visit: Visit, limits: Limits) -> Body:
    """The body of a request, parsed; within its size and its deadline."""
    request = visit.request
    if not request.whole:
        await _arrival(request, limits)
    if request.too_large:
        raise _too_large(limits)
    data = request.body
    return await parsed(data, wire_body.parse), len(data)


async def read_call(visit: Visit, read: Read, named: Named, created: int) -> Call:
    """The call that a visit brings; its end person is known from here on only by pseudonym."""
    said: dict[str, Any] = {}
    session = None
    if visit.request.headers.any_of(_TELLING):  # of most calls nothing is said
        said, session = said_by(visit.request), _session(visit.request)
    body, size = await read(visit)
    given = body.get("safety_identifier") or body.get("user")
    user = given if isinstance(given, str) and given else None
    identity = visit.identity
    if user is not None or session is not None:
        identity = await named(identity, user, session)
    return call_of(body, size, id=visit.id, created=created, identity=identity, **said)


def said_by(request: Request) -> dict[str, Any]:
    """What the headers say of a call, by the fields of `Call`. Raises `CallerFault`."""
    return {
        "preferred": preferred(request),
        "patience_s": _patience(request),
        "consent": _consent(request),
        "silence_s": _silence(request),
        "retries": _retries(request),
    }


def call_of(body: dict[str, Any], size: int, **known: Any) -> Call:
    """A parsed body of so many bytes as a call; `known`: all else, by the fields of `Call`."""
    options = body.get("stream_options")
    return Call(
        model=body["model"],
        body=body,
        prompt_bytes=size,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        **known,
    )


def _way(visit: Visit, call: Call, shared: bool) -> Way:
    kind = Stream if call.stream else Measured if shared else Whole
    return kind(visit.line, visit.request, identified(visit.id, visit.echo))


async def parsed(data: bytes, parse: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    """What `parse` makes of `data`; much of it holds nobody up."""
    if len(data) <= INLINE_PARSE_BYTES:
        return parse(data)
    return await asyncio.to_thread(parse, data)


async def _question(call: Call, key: str) -> Question:
    if call.prompt_bytes <= INLINE_PARSE_BYTES:
        return question(call, key)
    return await asyncio.to_thread(question, call, key)


async def _arrival(request: Request, limits: Limits) -> None:
    """Wait for the rest of a body, unless it is too large by its own word."""
    if int(request.headers.get("content-length") or 0) > limits.body_bytes:
        raise _too_large(limits)
    if "expect" in request.headers and request.version == "1.1":
        request.ask_for_body()
    try:
        with Watch(asyncio.get_running_loop().time() + limits.body_s):
            await request.arrival()
    except TimeoutError:
        message = "The request body did not arrive in time."
        raise _refused(HTTPStatus.REQUEST_TIMEOUT, message, "request_timeout") from None


def _too_large(limits: Limits) -> CallerFault:
    message = f"The request body is larger than {limits.body_bytes} bytes."
    return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "request_too_large")


def _refused(status: int, message: str, code: str) -> CallerFault:
    return CallerFault(Told(status, message, "invalid_request_error", code, should_retry=False))


def _consent(request: Request) -> bool | None:
    """What is said of consent, in one way only: whoever has it must not be in doubt of having said so."""
    given = request.headers.all("x-user-consent")
    if not given:
        return None
    if len(given) > 1 or given[0] not in CONSENT:
        raise bad_request("x-user-consent must be true or false, once.", code="bad_header")
    return CONSENT[given[0]]


def _session(request: Request) -> str | None:
    """The conversation that a call belongs to, said in one way only."""
    given = request.headers.all(SESSION_HEADER)
    if not given:
        return None
    if len(given) > 1 or SESSION.fullmatch(given[0]) is None:
        raise bad_request(
            "x-session-id must be 1 to 255 printable ASCII characters, once.", code="bad_header"
        )
    return given[0]


def _retries(request: Request) -> int:
    """What the official SDKs count; a word of theirs, not of the caller's, so that nonsense is no fault."""
    given = request.headers.get("x-stainless-retry-count") or ""
    return int(given) if RETRIES.fullmatch(given) else 0


def _silence(request: Request) -> float | None:
    """How long the official SDKs read before they give up and try again; nonsense is no fault either."""
    given = request.headers.get("x-stainless-read-timeout") or request.headers.get("x-stainless-timeout")
    seconds = float(given) if given and SDK_SECONDS.fullmatch(given) else 0.0
    return seconds if seconds > 0 else None


def _patience(request: Request) -> float | None:
    given = request.headers.get("x-request-timeout")
    if given is None:
        return None
    match = DURATION.fullmatch(given.strip())
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        message = "x-request-timeout must be a positive duration, such as 30, 30s or 500ms."
        raise bad_request(message, code="bad_header")
    return seconds
