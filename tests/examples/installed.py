"""What examples need and this project does not: kept under `build/`, made anew when its lock has changed.

Where it cannot be had (no network, no Node) the test is skipped and says so; in CI it fails.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.quickstart import ROOT
from tests.kit.chromium import IN_CI

EXAMPLES = ROOT / "examples"
BUILD = ROOT / "build/examples"


def give_up(why: str) -> None:
    (pytest.fail if IN_CI else pytest.skip)(why)


def need_curl() -> None:
    if shutil.which("curl") is None:
        give_up("curl is not installed")


def need_node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        give_up("node and npm are not installed")


def python() -> Path:
    """A Python with what `examples/requirements.lock` names, and nothing else."""
    lock, folder = EXAMPLES / "requirements.lock", BUILD / "python"
    if not _fresh(lock, folder / "installed.lock"):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], ROOT)
        words = ["install", "--quiet", "--require-hashes", "--no-deps", "--requirement", str(lock)]
        _run([str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", *words], ROOT)
        shutil.copy(lock, folder / "installed.lock")
    return folder / "bin/python"


def node() -> Path:
    """The folder of Node's examples, a copy with the SDK beside them."""
    need_node()
    source, folder = EXAMPLES / "openai_node", BUILD / "node"
    lock = source / "package-lock.json"
    if not _fresh(lock, folder / "installed.json"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(source / "package.json", folder)
        shutil.copy(lock, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
        shutil.copy(lock, folder / "installed.json")
    for script in source.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def _fresh(lock: Path, kept: Path) -> bool:
    """Whether what is installed is what the lock says; the copy of it is kept last."""
    return kept.is_file() and kept.read_bytes() == lock.read_bytes()


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode != 0:
        give_up(f"{words[0]} could not install what an example needs: {done.stderr.strip()[-300:]}")
