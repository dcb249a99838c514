"""A PostgreSQL server for the tests: its own folder, no port, one database a test.

The server is started by the first test that asks (`postgres` in tests/conftest.py) and ends with the run.
It does not flush its disk, which the tests of killed clients do not need; the tests of a killed server ask
for one that does.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy.place import Database

HASTY = ("-c", "fsync=off", "-c", "full_page_writes=off")


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None: there is no server on this machine."""
    found = shutil.which("initdb")
    places = [Path(found).resolve()] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return next((place.parent for place in places if place.with_name("createdb").exists()), None)


def user() -> dict[str, object]:
    """PostgreSQL refuses to run as root: then as the user that its package made."""
    if os.geteuid() != 0:
        return {}
    found = pwd.getpwnam("postgres")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": [], "cwd": "/"}


@dataclass
class Server:
    """A running server."""

    folder: Path
    programs: Path
    options: tuple[str, ...] = HASTY
    numbers: count = field(default_factory=lambda: count(1))

    @classmethod
    def made(cls, programs: Path, options: tuple[str, ...] = HASTY, within: Path | None = None) -> "Server":
        folder = Path(tempfile.mkdtemp(prefix="ft-pg-", dir=within))
        if os.geteuid() == 0:
            found = pwd.getpwnam("postgres")
            os.chown(folder, found.pw_uid, found.pw_gid)
        server = cls(folder, programs, options)
        made = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        server._run("initdb", *made, "-D", str(folder / "data"))
        server.start()
        return server

    def start(self) -> None:
        options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}")
        more = ("-c", "max_connections=200", "-c", "shared_buffers=64MB", *self.options)
        log = str(self.folder / "log")
        self._ctl("start", "-w", "-l", log, "-o", " ".join((*options, *more)))

    def stop(self, how: str = "immediate") -> None:
        self._ctl("stop", "-m", how)

    def signal(self, how: signal.Signals) -> None:
        """To all its processes: `SIGSTOP` makes it silent without a word, `SIGCONT` wakes it."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        below = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for process in (first, *map(int, below)):
            with suppress(ProcessLookupError):
                os.kill(process, how)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def database(self, *options: str) -> Database:
        """A fresh and empty one."""
        name = f"t{next(self.numbers)}"
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", "-T", "template0", *options, name)
        return Database(f"postgresql://postgres@/{name}?host={self.folder}")

    def drop(self, database: Database) -> None:
        """Remove one, whoever is still connected."""
        name = urlsplit(database.url).path.lstrip("/")
        self._run("dropdb", "--force", "-h", str(self.folder), "-U", "postgres", name)

    def files_with(self, needle: bytes) -> list[str]:
        """Names of the tables' files that have these bytes. What the server removes meanwhile has none."""
        files = [path for path in (self.folder / "data" / "base").rglob("*") if path.is_file()]
        assert len(files) > 200
        found = []
        for path in files:
            with suppress(FileNotFoundError):
                if needle in path.read_bytes():
                    found.append(path.name)
        return found

    def _ctl(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), *words)

    def _run(self, program: str, *words: str) -> None:
        # To a file and not a pipe: the server that pg_ctl starts would keep the pipe open.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [self.programs / program, *words], stdout=said, stderr=said, check=False, **user()
            )
            said.seek(0)
            assert done.returncode == 0, said.read().decode()


@contextmanager
def running() -> Iterator[Server]:
    """A server for as long as it is needed; where none is installed the test is skipped, but never in CI."""
    found = programs()
    if found is None:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in {"1", "true"} else pytest.skip
        give_up("no PostgreSQL server is installed here (initdb, postgres)")
    server = Server.made(found)
    try:
        yield server
    finally:
        server.remove()
