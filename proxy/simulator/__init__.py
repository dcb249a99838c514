"""Simulated upstreams: they speak the dialects and fail on a script.

Behind `fallthrough simulate`, the quickstart (`simulator: auto`) and the tests. They answer from
nothing but the request, so the same request gets the same answer, and never call anybody. The server is
read when it is to serve: a proxy of real upstreams does not carry it.
"""

from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path

from proxy.simulator.fault import ScriptFault

__all__ = ["ScriptFault", "serve"]

SERVER = "proxy.simulator.server"


def serve(script: Path | None, host: str, port: int) -> AbstractAsyncContextManager[str]:
    """Serve for as long as the context is open; yields the base address, such as `http://127.0.0.1:9000`.

    Raises `ScriptFault` if the script cannot be played, `OSError` if the port cannot be had.
    """
    serving: AbstractAsyncContextManager[str] = import_module(SERVER).serve(script, host, port)
    return serving
