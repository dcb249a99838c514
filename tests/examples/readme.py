"""README.md as a newcomer follows it: its commands, in order, in a folder like a fresh clone.

The clone is made of links to this project with a copy of `config/`, whose ports are free ones; `.venv` is the
one that runs the tests. What a block says is run as it stands, but for those ports.
"""

import contextlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.examples.quickstart import ROOT
from tests.kit.processes import READY_S, VENDORS, eventually, free_ports

KNOWN_PORTS = (8080, 8081, 8082)
NOT_RUN: Mapping[str, str] = MappingProxyType(
    {
        "make test": "it is what runs this",
        "git clone": "the clone is made here",
        "cd ": "every command is run in the clone",
    }
)
"""How a command begins that is left out → why."""


@dataclass(frozen=True)
class Said:
    """A command of README.md, and what came of it."""

    command: str
    status: int
    output: str
    errors: str


@dataclass
class Clone:
    """A fresh clone, and a newcomer in it."""

    folder: Path
    ports: dict[int, int] = field(default_factory=lambda: dict(zip(KNOWN_PORTS, free_ports(3), strict=True)))
    server: subprocess.Popen | None = None
    said: list[Said] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in ROOT.iterdir():
            if path.name not in {"config", "var", ".venv", ".git", "build"}:
                (self.folder / path.name).symlink_to(path)
        (self.folder / ".venv").symlink_to(sys.prefix)
        shutil.copytree(ROOT / "config", self.folder / "config")
        table = self.folder / "config/quickstart.yaml"
        table.write_text(self.here(table.read_text()))

    def here(self, text: str) -> str:
        """The same with the ports of this clone."""
        return re.sub(r":(808[012])\b", lambda found: f":{self.ports[int(found[1])]}", text)

    def run(self, command: str) -> Said:
        """A command of the shell, to its end."""
        return self._done(command, ["bash", "-c", self.here(command)])

    def run_python(self, program: str) -> Said:
        return self._done(program, [".venv/bin/python", "-c", self.here(program)])

    def make_run(self, command: str) -> None:
        """What serves until it is stopped, in place of the one before it. Nothing is installed anew."""
        self.close()
        words = command.partition("#")[0].replace("make ", "make -o .venv/.installed ", 1)
        with (self.folder / "serve.log").open("wb") as log:
            self.server = subprocess.Popen(
                words.split(),
                cwd=self.folder,
                env=environment(),
                start_new_session=True,
                stdout=log,
                stderr=log,
            )
        eventually(self._ready)

    def get(self, port: int, path: str) -> tuple[int, str]:
        """What a listener answers, by the port that README.md knows it by."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def close(self) -> None:
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.wait(timeout=READY_S)
            self.server = None

    def _ready(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, self.log()
        with contextlib.suppress(OSError):
            return self.get(8082, "/readyz")[0] == 200
        return False

    def _done(self, command: str, words: list[str]) -> Said:
        done = subprocess.run(
            words, cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=60, check=False
        )
        self.said.append(Said(command, done.returncode, done.stdout, done.stderr))
        return self.said[-1]


def environment() -> dict[str, str]:
    """That of somebody who has set nothing."""
    mine = {name: value for name, value in os.environ.items() if name not in VENDORS}
    kept = {
        name: value for name, value in mine.items() if not name.startswith(("FALLTHROUGH_", "MAKE", "ARGS"))
    }
    return kept | {"NO_COLOR": "1", "COLUMNS": "200"}


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of every block that can be run; others are to be read."""
    return re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(content: str) -> list[str]:
    """The commands of a block of the shell; lines that go on are one."""
    joined = content.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def follow(clone: Clone, text: str) -> None:
    """Do all that the text says. After a change of what serves, the first call is made anew, as it says."""
    call = next(content for language, content in blocks(text) if language == "python")
    for language, content in blocks(text):
        if language == "python":
            clone.run_python(content)
            continue
        for command in commands(content):
            if command.startswith("make run"):
                clone.make_run(command)
                if "SCRIPT=" in command:
                    clone.run_python(call)
            elif not command.startswith(tuple(NOT_RUN)):
                clone.run(command)
