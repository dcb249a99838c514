"""Processes under measurement: built, started on a core, asked for their memory, stopped.

Used by `systems.py` and `__main__.py`. It ends only what it has started itself.
"""

import http.client
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
PROGRAMS = ("mock", "load")

PROXY_CORE = "0"
LOAD_CORE = "1"
"""The load generator and the mock share a core, so that what is measured has one to itself."""


class Missing(Exception):
    """Something that this machine lacks, with what would mend it."""


def build() -> None:
    """Compile the mock and the load generator, if their sources are newer than they."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("no C compiler; on Debian: apt-get install gcc libc6-dev")
    BUILD.mkdir(exist_ok=True)
    for name in PROGRAMS:
        source, program = HERE / f"{name}.c", BUILD / name
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            continue
        subprocess.run(
            [compiler, "-O2", "-Wall", "-Wextra", "-Wno-unused-result", "-o", program, source], check=True
        )


def on_core(core: str, command: Sequence[str]) -> list[str]:
    """The command, kept on one core where the machine has two and lets us choose."""
    taskset = shutil.which("taskset")
    if taskset is None or (os.cpu_count() or 1) < 2:
        return list(command)
    return [taskset, "-c", core, *command]


@contextmanager
def running(
    command: Sequence[str], log: Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, its words in `log`; asked to stop on leaving, then made to."""
    with log.open("wb") as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serving(
    command: Sequence[str],
    port: int,
    path: str,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, float]]:
    """The same once GET `path` is answered: the process, and after how many seconds that was."""
    with socket.socket() as line:
        if line.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"something else answers on port {port} already, and would be measured instead")
    with running(command, log, cwd, environment) as process:
        yield process.pid, until_answers(process, port, path, log)


def until_answers(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> float:
    """Seconds until GET `path` is answered with 200."""
    began = time.perf_counter()
    while time.perf_counter() - began < 30:
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.perf_counter() - began
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    raise Missing(
        f"nothing answers on port {port}; its last words:\n{log.read_text(errors='replace')[-2000:]}"
    )


def flush_us(folder: Path) -> float:
    """Median time that the disk takes to make 4 KiB durable: every ledger row waits for one."""
    times = []
    with (folder / "flush").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1e6, 1)


def thread_s(pid: int) -> dict[int, float]:
    """Processor time of each thread of a process that lives; the first one bears the process's own number."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # ended, or not counted so finely here
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def pss_kib(pid: int) -> int:
    """Proportional set size of a process and its children."""
    total = 0
    for process in family(pid):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found
