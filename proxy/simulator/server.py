"""The simulated upstreams on a socket, by any name: `/<name>/v1/chat/completions`, `/<name>/v1/messages`,
`/<name>/v1/models/<model>:generateContent`; and of an engine, `/<name>/metrics`.

Opened by `app.py` for `simulator: auto`, by `fallthrough simulate`, and by tests. A changed script
comes into force with the next call; a faulty one is told and the last good one stays.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from proxy.simulator import gauges
from proxy.simulator.fault import ScriptFault
from proxy.simulator.languages import language
from proxy.simulator.playing import Cast, Cut, Head, Pause, Request, Step
from proxy.simulator.script import Script

log = logging.getLogger("proxy.simulator")

BODY_MAX = 64 * 1024 * 1024


@asynccontextmanager
async def serve(script: Path | None, host: str, port: int) -> AsyncIterator[str]:
    """Serve for as long as the context is open; yields the base address, such as `http://127.0.0.1:9000`.

    Raises `ScriptFault` if the script cannot be played, `OSError` if the port cannot be had.
    """
    stage = Stage(script)
    app = web.Application(client_max_size=BODY_MAX)
    app.router.add_post("/{name}/v1/{path:.+}", stage.answer)
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
        self._cast = Cast()
        self._live: Counter[str] = Counter()
        self._since = asyncio.get_running_loop().time()

    async def models(self, request: web.Request) -> web.Response:
        model = {
            "id": f"{request.match_info['name']}-model",
            "object": "model",
            "created": 1,
            "owned_by": "simulator",
        }
        return web.json_response({"object": "list", "data": [model]})

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

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self._refresh()
        name, script = request.match_info["name"], self._prompter.script
        found = language(request.match_info["path"], script.dialect(name))
        if found is None:
            raise web.HTTPNotFound
        elapsed_s = asyncio.get_running_loop().time() - self._since
        asked = Request(name, found.spoken, await request.read(), found.elsewhere, elapsed_s)
        self._live[name] += 1
        try:
            return await _play(request, self._cast.play(asked, script.act))
        finally:
            self._live[name] -= 1

    def _refresh(self) -> None:
        """A script that has changed begins anew."""
        if self._prompter.refresh():
            self._cast.begin_anew()
            self._since = asyncio.get_running_loop().time()


async def _play(request: web.Request, steps: Iterator[Step]) -> web.StreamResponse:
    """Carry the steps out."""
    response = web.StreamResponse()
    for step in steps:
        match step:
            case Head():
                response = web.StreamResponse(status=step.status, headers=step.headers)
                response.content_length = step.length
                await response.prepare(request)
            case Pause():
                await asyncio.sleep(step.seconds)
            case Cut():
                if request.transport is not None:  # what was written still goes out
                    request.transport.close()
            case _:
                await response.write(step)
    return response
