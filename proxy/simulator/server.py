"""The simulated upstreams on a socket, by any name: `/<name>/v1/chat/completions`, `/<name>/v1/messages`,
`/<name>/v1/models/<model>:generateContent`; and of an engine, `/<name>/metrics`.

Opened by `app.py` for `simulator: auto`, by `fallthrough simulate`, and by tests. A changed script
comes into force with the next call; a faulty one is told and the last good one stays.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from proxy.simulator import gauges
from proxy.simulator.answers import say
from proxy.simulator.chat import tongue
from proxy.simulator.generate import tongue as gemini_tongue
from proxy.simulator.manners import Refusal
from proxy.simulator.messages import MESSAGES
from proxy.simulator.script import Do, Scene, Script, ScriptFault
from proxy.simulator.shaped import SHAPED
from proxy.simulator.tongue import Answer, Tongue

log = logging.getLogger("proxy.simulator")

BODY_MAX = 64 * 1024 * 1024
KEEP_ALIVE = b": keep-alive\n\n"
JSON: Mapping[str, str] = {"content-type": "application/json"}
EVENTS: Mapping[str, str] = {"content-type": "text/event-stream; charset=utf-8"}
STILL = 3600.0
"""Seconds of silence of a stalled answer: longer than anybody waits."""


@asynccontextmanager
async def serve(script: Path | None, host: str, port: int) -> AsyncIterator[str]:
    """Serve for as long as the context is open; yields the base address, such as `http://127.0.0.1:9000`.

    Raises `ScriptFault` if the script cannot be played, `OSError` if the port cannot be had.
    """
    stage = Stage(script)
    app = web.Application(client_max_size=BODY_MAX)
    app.router.add_post("/{name}/v1/chat/completions", stage.chat)
    app.router.add_post("/{name}/v1/messages", stage.messages)
    app.router.add_post("/{name}/v1/models/{model}:{method}", stage.generate)
    app.router.add_get("/{name}/v1/models", stage.models)
    app.router.add_get("/{name}/metrics", stage.metrics)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield f"http://{f'[{host}]' if ':' in host else host}:{site.port}"
    finally:
        await runner.cleanup()


class Prompter:
    """Holds the script in force and looks for a newer one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp = self._look()
        self.script = Script() if path is None else _script(path)

    def refresh(self) -> bool:
        """Take a changed script; whether there was one."""
        stamp = self._look()
        if stamp == self._stamp or self._path is None:
            return False
        self._stamp = stamp
        try:
            self.script = _script(self._path)
        except ScriptFault as fault:
            log.warning("the script was changed but cannot be played; the last one stays: %s", fault)
            return False
        return True

    def _look(self) -> tuple[int, int, int] | None:
        """A file swapped under the name has another inode even within one tick of the clock."""
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)


def _script(path: Path) -> Script:
    try:
        return Script.parse(path.read_bytes())
    except OSError as error:
        raise ScriptFault(f"it cannot be read: {error.strerror or error}") from None


class Stage:
    """Where the simulated upstreams stand."""

    def __init__(self, script: Path | None) -> None:
        self._prompter = Prompter(script)
        self._calls: Counter[str] = Counter()
        self._live: Counter[str] = Counter()
        self._ids = itertools.count(1)
        self._since = asyncio.get_running_loop().time()

    async def models(self, request: web.Request) -> web.Response:
        model = {
            "id": f"{request.match_info['name']}-model",
            "object": "model",
            "created": 1,
            "owned_by": "simulator",
        }
        return _json(200, {"object": "list", "data": [model]})

    async def metrics(self, request: web.Request) -> web.Response:
        """What an engine says of its load."""
        self._refresh()
        name = request.match_info["name"]
        busy = self._prompter.script.load(name)
        if busy is None:
            raise web.HTTPNotFound
        if busy.status is not None:
            return web.Response(status=busy.status)
        told = gauges.text(name, busy, self._live[name])
        return web.Response(body=told.encode(), headers={"content-type": gauges.CONTENT_TYPE})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self._refresh()
        dialect = self._prompter.script.dialect(request.match_info["name"])
        return await self._play(request, SHAPED.get(dialect) or tongue(dialect))

    async def messages(self, request: web.Request) -> web.StreamResponse:
        self._refresh()
        return await self._play(request, MESSAGES)

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """Here the model and whether to stream stand in the path."""
        method = request.match_info["method"]
        if method not in ("generateContent", "streamGenerateContent"):
            raise web.HTTPNotFound
        self._refresh()
        model = request.match_info["model"]
        asked = {"model": model, "stream": method == "streamGenerateContent"}
        return await self._play(request, gemini_tongue(model), asked)

    def _refresh(self) -> None:
        """A script that has changed begins anew."""
        if self._prompter.refresh():
            self._calls.clear()
            self._since = asyncio.get_running_loop().time()

    async def _play(
        self, request: web.Request, spoken: Tongue, asked: Mapping[str, Any] | None = None
    ) -> web.StreamResponse:
        """`asked`: members of the body that this vendor writes elsewhere."""
        name = request.match_info["name"]
        self._live[name] += 1
        try:
            return await self._perform(request, spoken, asked)
        finally:
            self._live[name] -= 1

    async def _perform(
        self, request: web.Request, spoken: Tongue, asked: Mapping[str, Any] | None
    ) -> web.StreamResponse:
        name = request.match_info["name"]
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            body = None
        refusal = spoken.judge(body)
        if refusal is not None:
            return _json(refusal.status, spoken.shape(refusal))
        body |= asked or {}
        do = self._prompter.script.act(name, self._scene(name, body))
        await asyncio.sleep(do.delay or 0)
        if do.reset:
            return _cut(request)
        refusal = _refusal(do, spoken)
        if refusal is not None:
            headers = {} if do.retry_after is None else {"retry-after": f"{do.retry_after:g}"}
            return _json(refusal.status, spoken.shape(refusal), headers)
        if do.garbage is not None:
            return _garbage(do.garbage)
        said = say(name, spoken.as_chat(body), do)
        act = Act(request, spoken, do, spoken.answer(f"{name}-{next(self._ids)}", body, said))
        return await (act.stream() if body.get("stream") is True else act.whole())

    def _scene(self, name: str, body: dict[str, Any]) -> Scene:
        self._calls[name] += 1
        elapsed = asyncio.get_running_loop().time() - self._since
        model = str(body.get("model") or "")
        return Scene(
            number=self._calls[name], elapsed_s=elapsed, model=model, stream=body.get("stream") is True
        )


class Act:
    """One answer, played as the script says."""

    def __init__(self, request: web.Request, spoken: Tongue, do: Do, answer: Answer) -> None:
        self._request = request
        self._spoken = spoken
        self._do = do
        self._answer = answer

    async def whole(self) -> web.StreamResponse:
        do = self._do
        if do.stall is not None:
            await asyncio.sleep(STILL)
        await asyncio.sleep(do.first_token or 0)
        body = self._answer.whole()
        if do.error_event is not None:
            return _json(200, self._spoken.shape(self._spoken.errors["server"]))
        if do.cut is None:
            return web.Response(body=body, headers=JSON)
        response = web.StreamResponse(headers={**JSON, "content-length": str(len(body))})
        await response.prepare(self._request)
        await response.write(body[: len(body) // 2])
        return _cut(self._request, response)

    async def stream(self) -> web.StreamResponse:
        do = self._do
        response = web.StreamResponse(headers=EVENTS)
        if self._spoken.early:
            await response.prepare(self._request)
        await self._silence(response, do.first_token or 0)
        await response.prepare(self._request)
        for number, event in enumerate(self._answer.events()):
            if number:
                await self._silence(response, do.chunk_delay or 0)
            if number == do.cut:
                return _cut(self._request, response)
            if number == do.stall:
                await self._silence(response, STILL)
            if number == do.error_event:
                await response.write(self._spoken.error_event())
                return response
            await response.write(event)
        if not do.no_done:
            await response.write(self._answer.done)
        return response

    async def _silence(self, response: web.StreamResponse, seconds: float) -> None:
        """Say nothing for so long, but for comments where the script wants them."""
        every = self._do.keep_alive
        while every is not None and seconds > every:
            await response.prepare(self._request)
            await asyncio.sleep(every)
            await response.write(KEEP_ALIVE)
            seconds -= every
        await asyncio.sleep(seconds)


def _refusal(do: Do, spoken: Tongue) -> Refusal | None:
    if do.error is None:
        return None if do.status is None else spoken.of_status(do.status)
    told = spoken.errors[do.error]
    return told if do.status is None else replace(told, status=do.status)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers={**JSON, **(headers or {})})


def _garbage(kind: str) -> web.Response:
    if kind == "html":
        return web.Response(
            text="<html><body>Please log in to the network.</body></html>", content_type="text/html"
        )
    body = {
        "empty": b"",
        "json": b'{"hello": "world"}',
        "truncated": b'{"id": "chatcmpl-sim", "choices": [{"ind',
    }
    return web.Response(body=body[kind], headers=JSON)


def _cut(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Drop the connection as a crashed server would: what was written goes out, no end follows."""
    if request.transport is not None:
        request.transport.close()
    return response or web.StreamResponse()
