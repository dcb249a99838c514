"""The gateways of this field beside this one, each as its makers would run it for this load.

`make bench-peers` installs them below `bench/build/peers` from the lock files in `bench/gateways/`, where
their configurations are too, and measures those that could be had; what is missing is named. None of them
meters, holds or writes down what this proxy does.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.processes import BUILD, HERE, PROXY_CORE, Missing, on_core, serving
from bench.systems import MOCK_PORT, System

PEERS = BUILD / "peers"
GATEWAYS = HERE / "gateways"
MASTER = "sk-master-1234"
"""LiteLLM refuses to start without one; it means nothing."""

HAPROXY_PORT, ENVOY_PORT, LITELLM_PORT, PORTKEY_PORT = range(18091, 18095)
"""As their configurations have it, where they have one."""

LITELLM_QUIET: Mapping[str, str] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
}
"""It looks for prices on the internet otherwise, and waits."""


@contextmanager
def haproxy() -> Iterator[System]:
    """A C proxy, plain forwarding."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise Missing("haproxy is not installed; on Debian: apt-get install haproxy")
    config = GATEWAYS / "haproxy.cfg"
    with _served("haproxy", [program, "-db", "-f", str(config)], HAPROXY_PORT) as system:
        yield system


@contextmanager
def envoy() -> Iterator[System]:
    """A C++ proxy, plain forwarding."""
    program = _installed("python/bin/envoy")
    config = GATEWAYS / "envoy.yaml"
    command = [
        str(program),
        "-c",
        str(config),
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "--use-dynamic-base-id",
    ]
    with _served("envoy", command, ENVOY_PORT) as system:
        yield system


@contextmanager
def litellm() -> Iterator[System]:
    """The Python gateway of this field: a key looked up, a fallback configured, no database."""
    program = _installed("python/bin/litellm")
    config = GATEWAYS / "litellm.yaml"
    command = [str(program), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(LITELLM_PORT), "--num_workers", "1"]
    with _served("litellm", command, LITELLM_PORT, LITELLM_QUIET) as system:
        yield system


@contextmanager
def portkey() -> Iterator[System]:
    """The Node gateway of this field: whom to ask is told by headers."""
    node = shutil.which("node")
    if node is None:
        raise Missing("Node is not installed; on Debian: apt-get install nodejs")
    script = _installed("node_modules/@portkey-ai/gateway/build/start-server.js")
    command = [node, str(script), "--headless", f"--port={PORTKEY_PORT}"]
    with _served("portkey", command, PORTKEY_PORT, {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}) as system:
        yield system


def _installed(path: str) -> Path:
    """A program that `make bench-peers` installed."""
    program = PEERS / path
    if not program.exists():
        raise Missing(f"{path} is not installed; `make bench-peers` does that")
    return program


PATHS: Mapping[int, str] = {LITELLM_PORT: "/health/liveliness", PORTKEY_PORT: "/"}
HEADERS: Mapping[int, tuple[str, ...]] = {
    PORTKEY_PORT: ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{MOCK_PORT}/v1")
}


@contextmanager
def _served(
    name: str, command: list[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[System]:
    """A peer that answers."""
    log = BUILD / f"{name}.log"
    wanted = {**os.environ, **(environment or {})}
    command, path, headers = (
        on_core(PROXY_CORE, command),
        PATHS.get(port, "/v1/models"),
        HEADERS.get(port, ()),
    )
    with serving(command, port, path, log, cwd=HERE.parent, environment=wanted) as (pid, start_s):
        yield System(name, port, key=MASTER, pid=pid, start_s=start_s, headers=headers)
