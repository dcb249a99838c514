"""Installs a real vLLM for the CPU, and the two tiny models it serves, in a folder of its own.

Called by the fixtures of `tests/vllm`, or by hand: `python -m tests.vllm.engine.install`. The folder is
`FALLTHROUGH_VLLM_DIR`, by default `.vllm` in the repository: 2.5 GB, about 90 seconds the first time,
nothing the next, until the lock or the model script changes. Its packages never mix with the project's:
vLLM pins too much.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSIDE = HERE / "inside"
"""Files that run inside the engine's own Python; on its path when it serves."""
LOCK = HERE / "requirements.lock"
MAKE_MODELS = INSIDE / "make_models.py"
REPOSITORY = HERE.parents[2]


class Unavailable(Exception):
    """A real vLLM cannot be had on this machine; the message says why."""


def home() -> Path:
    """Where the engine lives."""
    return Path(os.environ.get("FALLTHROUGH_VLLM_DIR") or REPOSITORY / ".vllm").resolve()


def python_of(folder: Path) -> Path:
    """The engine's own Python."""
    return folder / "venv" / "bin" / "python"


def install(folder: Path) -> None:
    """Make sure that the packages and the models are in `folder`. Raises `Unavailable`."""
    folder.mkdir(parents=True, exist_ok=True)
    _once(folder / "packages.done", LOCK, lambda: _install_packages(folder))
    _once(folder / "models.done", MAKE_MODELS, lambda: _make_models(folder))


def _once(stamp: Path, source: Path, work: Callable[[], None]) -> None:
    """Do `work` unless it was finished for `source` as it is now."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    work()
    stamp.write_text(digest)


def _install_packages(folder: Path) -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable("the locked vLLM is built for Linux on x86_64 only")
    _run([_python311(), "-m", "venv", "--clear", folder / "venv"])
    # Without dependencies: the lock is complete, and what it leaves out must stay out (see its head).
    options = ["-qq", "--no-deps", "--require-hashes", "--only-binary=:all:", "--disable-pip-version-check"]
    _run([python_of(folder), "-m", "pip", "install", *options, "-r", LOCK])


def _python311() -> str:
    """The locked CPU build of torch is for CPython 3.11 only."""
    found = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if found is None:
        raise Unavailable("python3.11 is not on the PATH, and the locked torch is built for it only")
    return found


def _make_models(folder: Path) -> None:
    shutil.rmtree(folder / "models", ignore_errors=True)
    _run([python_of(folder), MAKE_MODELS, folder / "models"])


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        words = " ".join(map(str, command))
        raise Unavailable(f"`{words}` ended with {done.returncode}:\n{done.stdout[-2000:]}")


if __name__ == "__main__":
    install(home())
