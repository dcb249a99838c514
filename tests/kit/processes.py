"""The proxy and its simulated upstreams as real processes, for black-box and crash tests.

A `House` is a folder with a table, a ledger and keys, plus the processes that run on it. Ports are
picked free by the kernel. Waiting is polling with an end, never a fixed sleep.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

READY_S = 30.0
VENDORS = frozenset({"OPENAI_API_KEY", "DEEPSEEK_API_KEY", "MISTRAL_API_KEY", "GEMINI_API_KEY", "VLLM_URL"})

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

TABLE = """\
settings:
  listen: 127.0.0.1:{proxy}
  admin: 127.0.0.1:{admin}
  probes: 127.0.0.1:{probes}
  ledger: sqlite:///{folder}/ledger.db
  auth: keys
  drain: 5s
upstreams:
  first:
    dialect: openai
    base_url: http://127.0.0.1:{simulator}/first/v1
    api_key: sk-upstream-first
    capabilities: openai
    timeouts: {{first_token: 5s, idle: 1s}}
  vllm:
    dialect: vllm
    base_url: http://127.0.0.1:{simulator}/vllm/v1
    timeouts: {{first_token: 5s, idle: 1s}}
routes:
  - model: chat
    targets: [first/gpt-4o-mini, vllm/mixtral]
  - model: only-vllm
    targets: [vllm/mixtral]
  - model: checked
    targets: [first/gpt-4o-mini, vllm/mixtral]
    check_answers: schema
prices:
  first/*: {{input: 0.15, output: 0.60}}
  vllm/*: {{input: 0, output: 0}}
"""


def free_ports(number: int) -> list[int]:
    """Ports nobody listens on just now, below those that the system gives to who calls somebody."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < number:
            one = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
                found.append(one.getsockname()[1])
    return found


def fallthrough(*words: str, variables: Mapping[str, str] = NO_VARIABLES, **options) -> subprocess.Popen:
    """`fallthrough WORDS…` as a process of its own group, with no vendor's key but in `variables`."""
    environment = {name: value for name, value in os.environ.items() if name not in VENDORS} | dict(variables)
    command = [sys.executable, "-m", "proxy", *words]
    return subprocess.Popen(command, start_new_session=True, env=environment, **options)


@dataclass
class House:
    """One proxy on one folder."""

    folder: Path
    extra: str = ""
    """More YAML, such as limits."""
    table: str = TABLE
    options: tuple[str, ...] = ()
    """More words for `serve`."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment of the proxy and of the commands beside it."""
    process: dict[str, Any] = field(default_factory=dict)
    """How its processes are started otherwise than usual."""
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    key: str = ""

    def __post_init__(self) -> None:
        names = ("proxy", "admin", "probes", "simulator")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.config.write_text(self.table.format(folder=self.folder, **self.ports) + self.extra)
        self.script("{}")

    @property
    def config(self) -> Path:
        return self.folder / "proxy.yaml"

    @property
    def base_url(self) -> str:
        """What an SDK is pointed at."""
        return f"http://127.0.0.1:{self.ports['proxy']}/v1"

    def script(self, text: str) -> None:
        """Write the simulator's script; a running simulator heeds it from the next call on."""
        fresh = self.folder / "script.new"
        fresh.write_text(text)
        fresh.rename(self.folder / "script.yaml")

    def simulate(self) -> None:
        """Start the simulated upstreams."""
        words = (
            "simulate",
            "--port",
            str(self.ports["simulator"]),
            "--script",
            str(self.folder / "script.yaml"),
        )
        self._start("simulator", words)
        self._await_answer("simulator", "/first/v1/models")

    def serve(self) -> None:
        """Start the proxy and wait until it is ready."""
        self._start("proxy", ("serve", "--config", str(self.config), *self.options))
        self._await_answer("proxy", "/readyz")

    def run(self, *words: str) -> str:
        """A command beside the running proxy; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "proxy", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **self.variables},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, name: str, path: str, **headers: str) -> tuple[int, str]:
        """Status and body of a plain GET at one of the listeners."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=10)
        ) as connection:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def new_key(self, tenant: str) -> str:
        """A fresh key of `tenant`."""
        return self.run("keys", "--config", str(self.config), "create", "--tenant", tenant).strip()

    def log(self, name: str = "proxy") -> str:
        """All that a process has printed."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Signal a process and wait for its end; its exit code."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        return process.wait(timeout=READY_S)

    def close(self) -> None:
        for name in tuple(self.processes):
            self.kill(name)

    def _start(self, name: str, words: tuple[str, ...]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            usual = {"stdout": log, "stderr": subprocess.STDOUT, "variables": self.variables}
            self.processes[name] = fallthrough(*words, **usual | self.process)

    def _await_answer(self, name: str, path: str) -> None:
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            assert self.processes[name].poll() is None, f"{name} died:\n{self.log(name)}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get(name, path)[0] == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{name} was not ready in {READY_S} s:\n{self.log(name)}")


@contextlib.contextmanager
def house(folder: Path, **options) -> Iterator[House]:
    """A running proxy with simulated upstreams and one key for the tenant `acme`."""
    built = House(folder, **options)
    try:
        built.key = built.new_key("acme")
        built.simulate()
        built.serve()
        yield built
    finally:
        built.close()


def calls(built: House, number: int = 50) -> list[dict]:
    """The last calls in the ledger, newest first, as `fallthrough usage` tells them."""
    words = ("usage", "--calls", str(number), "--json", "--config", str(built.config))
    return json.loads(built.run(*words))["calls"]


def eventually(found, seconds: float = READY_S):
    """What `found` gives once it gives something; processes of their own are polled, with an end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.02)
    raise AssertionError("it never happened")
