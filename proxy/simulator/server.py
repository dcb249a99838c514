"""The simulated upstreams behind one port: `/<name>/v1/chat/completions` and `/<name>/v1/models`.

`app.py` opens it when routes need a simulated upstream, `cli/simulate.py` by hand. The script is read
anew when its file changes; a broken change is logged and the last good script stays in force.
"""

import asyncio
import hashlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from proxy.config import ConfigError
from proxy.simulator.answers import Said, events, say, whole
from proxy.simulator.manners import error, refusal, scripted
from proxy.simulator.script import Do, Manners, Moment, choose, default_dialect, load

log = logging.getLogger("proxy.simulator")
CREATED = 1_750_000_000
"""Every simulated answer was made at the same moment."""
GARBAGE: Mapping[str, tuple[str, bytes]] = {
    "html": ("text/html", b"<html><body>Sign in to this network</body></html>"),
    "empty": ("application/json", b""),
    "json": ("application/json", b'{"hello":"world"}'),
    "truncated": ("application/json", b'{"id":"chatcmpl-1","choices":[{"ind'),
}


class ScriptFile:
    """A script that follows its file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp = self._mark()
        self._script = load(path)

    def _mark(self) -> tuple[int, int] | None:
        if self._path is None or not self._path.exists():
            return None
        state = self._path.stat()
        return state.st_mtime_ns, state.st_size

    def manners(self, name: str) -> Manners:
        stamp = self._mark()
        if stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            try:
                self._script = load(self._path)
            except ConfigError as broken:
                log.warning("script kept as it was: %s", broken.faults[0])
        return self._script.get(name, Manners(default_dialect(name)))


class Simulator:
    """Answers calls for any upstream name."""

    def __init__(self, script: ScriptFile, mono: Callable[[], float]) -> None:
        self._script = script
        self._mono = mono
        self._started = mono()
        self._calls: Counter[str] = Counter()

    async def models(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        model = {"id": f"simulated-{name}", "object": "model", "created": CREATED, "owned_by": "simulator"}
        return web.json_response({"object": "list", "data": [model]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self._calls[name] += 1
        number = self._calls[name]
        manners = self._script.manners(name)
        try:
            body = json.loads(await request.read())
        except ValueError:
            return web.json_response(error(manners.dialect, 400, "The body is not JSON."), status=400)
        asked = body if isinstance(body, dict) else {}
        stream = asked.get("stream") is True
        moment = Moment(
            number, self._mono() - self._started, _chance(name, number), str(asked.get("model", "")), stream
        )
        do = choose(manners, moment)
        await asyncio.sleep(do.delay)
        answer = _misfortune(request, manners.dialect, do)
        if answer is None and (fault := refusal(manners.dialect, body)) is not None:
            answer = web.json_response(fault, status=400)
        if answer is not None:
            return answer
        head = {"id": f"chatcmpl-sim-{name}-{number}", "created": CREATED, "model": asked.get("model")}
        said = say(name, asked, do.chunks)
        headers = {"x-request-id": f"req_sim_{name}_{number}"}
        if stream:
            return await _Telling(request, manners.dialect, do).tell(said, head, asked, headers)
        await asyncio.sleep(do.first_token)
        data = json.dumps(whole(said, head)).encode()
        if do.cut_bytes is not None:
            return await _cut_short(request, data, do.cut_bytes)
        return web.Response(body=data, content_type="application/json", headers=headers)


def _chance(name: str, number: int) -> float:
    """The dice of call `number`: the same in every run."""
    return int.from_bytes(hashlib.sha256(f"{name}/{number}".encode()).digest()[:6], "big") / (1 << 48)


def _misfortune(request: web.Request, dialect: str, do: Do) -> web.Response | None:
    if (do.refuse or do.reset) and request.transport is not None:
        if do.reset:
            request.transport.abort()
        else:
            request.transport.close()
        return web.Response()
    if do.garbage is not None:
        kind, data = GARBAGE[do.garbage]
        return web.Response(body=data, content_type=kind)
    if do.status is None and do.error is None:
        return None
    status, body = scripted(dialect, do.error, do.status)
    headers = {} if do.retry_after is None else {"retry-after": f"{do.retry_after:g}"}
    return web.json_response(body if do.body is None else do.body, status=status, headers=headers)


async def _cut_short(request: web.Request, data: bytes, size: int) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"content-length": str(len(data)), "content-type": "application/json"}
    )
    await response.prepare(request)
    await response.write(data[:size])
    if request.transport is not None:
        request.transport.close()
    return response


class _Telling:
    """One streamed answer on its way."""

    def __init__(self, request: web.Request, dialect: str, do: Do) -> None:
        self._request = request
        self._dialect = dialect
        self._do = do
        self._room = do.cut_bytes
        self._response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})

    async def tell(
        self, said: Said, head: Mapping[str, Any], asked: Mapping[str, Any], headers: Mapping[str, str]
    ) -> web.StreamResponse:
        self._response.headers.update(headers)
        if self._dialect == "openai":
            await asyncio.sleep(self._do.first_token)
        await self._response.prepare(self._request)
        if self._dialect == "vllm":
            # vLLM answers 200 at once and thinks afterwards.
            await asyncio.sleep(self._do.first_token)
        include_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        for index, event in enumerate(events(said, head, include_usage)):
            if not await self._goes_on(index):
                return self._response
            if not await self._write(f"data: {json.dumps(event)}\n\n".encode()):
                return self._response
            if self._do.chunk_delay:
                await asyncio.sleep(self._do.chunk_delay)
        await self._write(b"data: [DONE]\n\n")
        return self._response

    async def _goes_on(self, index: int) -> bool:
        do = self._do
        if index == do.stall:
            await asyncio.Event().wait()
        if index == do.error_event:
            status, body = scripted(self._dialect, None, 500)
            await self._write(f"data: {json.dumps(body)}\n\n".encode())
            if self._dialect == "vllm":
                await self._write(b"data: [DONE]\n\n")
            log.debug("told an error event", extra={"status": status})
            return False
        if index == do.cut:
            self._hang_up()
            return False
        return True

    async def _write(self, data: bytes) -> bool:
        if self._room is None or len(data) <= self._room:
            await self._response.write(data)
            self._room = None if self._room is None else self._room - len(data)
            return True
        await self._response.write(data[: self._room])
        self._hang_up()
        return False

    def _hang_up(self) -> None:
        if self._request.transport is not None:
            self._request.transport.close()


@asynccontextmanager
async def serve(script: Path | None, host: str, port: int) -> AsyncIterator[str]:
    """Serve simulated upstreams; yields the base address. Raises `ConfigError` for a wrong script."""
    simulator = Simulator(ScriptFile(script), asyncio.get_running_loop().time)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{name}/v1/chat/completions", simulator.chat)
    app.router.add_get("/{name}/v1/models", simulator.models)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
