"""A simulator on a free port, and calls to it without an SDK between."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp

from proxy.simulator import serve

HELLO = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}


def write(path, script):
    """Put a script in the place of another as an editor does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(script)
    fresh.rename(path)


@asynccontextmanager
async def playing(path, script="{}"):
    """`post(name, **members)` → status, headers, body; a body that breaks ends with an exception."""
    write(path, script)
    async with serve(path, "127.0.0.1", 0) as base, aiohttp.ClientSession() as session:

        async def post(name, data=None, **members):
            data = json.dumps(HELLO | members) if data is None else data
            async with session.post(f"{base}/{name}/v1/chat/completions", data=data) as response:
                return response.status, response.headers, await response.read()

        post.base, post.session = base, session
        yield post


def events(body):
    """The data of a stream's events, comments left out."""
    return [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]


def record_sleeps(monkeypatch):
    """Every pause of the simulator, in seconds; none is waited for."""
    slept, sleep = [], asyncio.sleep

    async def fake(seconds, result=None):
        if seconds:
            slept.append(seconds)
        return await sleep(0, result)

    monkeypatch.setattr("proxy.simulator.server.asyncio.sleep", fake)
    return slept
