"""A real vLLM server as a test sees it: started, asked how busy it is, killed in the ways that matter.

Used by the fixtures of `tests/vllm`. A server is three processes (API, engine core, worker) in a process
group of their own, because killing the first alone would leave the others behind.
"""

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.vllm.engine.install import INSIDE, python_of

KEY = "operator-key-of-the-engine"
"""What vLLM demands of whoever calls it; the proxy's configuration has it, callers never do."""
STEP_MS = 20
"""Pace of decoding: 1000 tokens last 20 seconds, so that a cut always falls into the stream."""
CONTEXT_TOKENS = 2048
FLAGS = (
    "--host=127.0.0.1",
    f"--api-key={KEY}",
    "--dtype=float32",  # the bf16 attention kernel dies on some processors
    "--enforce-eager",
    f"--max-model-len={CONTEXT_TOKENS}",
    f"--kv-cache-memory-bytes={64 << 20}",
    "--logits-processors=throttle:Throttle",
    # A tiny model under a grammar would otherwise write blanks for ever.
    '--structured-outputs-config={"backend": "xgrammar", "disable_any_whitespace": true}',
)
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_CI_ENV": "1",  # no warm-up
    "TORCHDYNAMO_DISABLE": "1",  # no compilation inside the first request
    "FALLTHROUGH_VLLM_STEP_MS": str(STEP_MS),
    "PYTHONPATH": str(INSIDE),
}


@dataclass(frozen=True, slots=True)
class Model:
    """What a server serves."""

    folder: str
    name: str
    flags: tuple[str, ...] = ()


MISTRAL = Model(
    "tiny-mistral",
    "mistralai/Mistral-7B-Instruct-v0.3",
    # A caller's own chat template is allowed here, so that a proxy that lets one pass is found out.
    ("--enable-auto-tool-choice", "--tool-call-parser=mistral", "--trust-request-chat-template"),
)
MIXTRAL = Model("tiny-mixtral", "mistralai/Mixtral-8x7B-Instruct-v0.1")


class Engine:
    """One vLLM server. `start` returns at once; `wait_healthy` when it answers."""

    def __init__(self, home: Path, model: Model) -> None:
        self.model = model
        self.port = free_port()
        self._home = home
        self._log = home / f"{model.folder}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where its own endpoints are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """Where its OpenAI API is."""
        return f"{self.address}/v1"

    @property
    def healthy(self) -> bool:
        """Whether it says that it can serve."""
        try:
            with urlopen(f"{self.address}/health", timeout=5):
                return True
        except OSError:
            return False

    def start(self) -> None:
        """Start it; what an earlier life left behind goes first."""
        self.kill()
        command = [
            *(python_of(self._home), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", self._home / "models" / self.model.folder),
            *("--served-model-name", self.model.name, "--port", str(self.port)),
            *FLAGS,
            *self.model.flags,
        ]
        environment = {**os.environ, **ENVIRONMENT, "VLLM_CACHE_ROOT": str(self._home / "cache")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_healthy(self) -> None:
        """Poll until it answers; fails with its last words if it ends or takes five minutes."""
        assert self._process is not None, "not started"
        for _ in range(600):
            if self.healthy:
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.5)
        raise RuntimeError(f"{self.model.folder} did not start:\n{self._log.read_text()[-4000:]}")

    def kill(self) -> None:
        """Kill the whole group at once: every connection is cut without a farewell."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def kill_core(self) -> None:
        """Kill the engine core alone: the API process lives on to tell its callers, then ends."""
        assert self._process is not None
        cores = [
            pid
            for pid in _group(self._process.pid)
            if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert cores, "no engine core in the group"
        for pid in cores:
            os.kill(pid, signal.SIGKILL)

    def running(self) -> int:
        """Requests that it is working on."""
        return self._metric("vllm:num_requests_running")

    def generated(self) -> int:
        """Tokens it has generated since it started."""
        return self._metric("vllm:generation_tokens_total")

    def _metric(self, name: str) -> int:
        with urlopen(f"{self.address}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return sum(int(float(value)) for value in re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.MULTILINE))


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _group(leader: int) -> list[int]:
    """The processes of a group."""
    members = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and os.getpgid(int(folder.name)) == leader:
                members.append(int(folder.name))
        except ProcessLookupError:
            continue
    return members
