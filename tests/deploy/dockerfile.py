"""A Dockerfile's stages, carried out in a folder, for where there is no engine.

Only what ours uses is known: ARG, FROM, WORKDIR, COPY, RUN and what is said of the image; else it is a fault.
Paths under `/` are moved under the folder, in commands too, but for those of the system's own programs.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.judges import ROOT

MOVED = re.compile(r"(?<![\w./-])/(opt|build|etc|var)\b")
SAID = {"USER", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "VOLUME"}


@dataclass
class Stage:
    """One stage, and what its image says."""

    name: str
    image: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str | None:
        """The last instruction of its kind."""
        return next((rest for kind, rest in reversed(self.steps) if kind == word), None)

    def words(self, word: str) -> list[str]:
        """The same, where it is a list."""
        return json.loads(self.last(word))

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the image finds."""
        pairs = [shlex.split(rest) for kind, rest in self.steps if kind == "ENV"]
        return dict(pair.split("=", 1) for each in pairs for pair in each)


def stages(path: Path = ROOT / "Dockerfile") -> list[Stage]:
    """Every stage, in order."""
    lines = [
        line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], line).partition(" ")
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            image, _, name = rest.partition(" AS ")
            found.append(Stage(name, image))
        elif word in SAID | {"WORKDIR", "COPY", "RUN"}:
            found[-1].steps.append((word, rest.strip()))
        else:
            raise AssertionError(f"unknown here: {line}")
    return found


def context() -> list[Path]:
    """What `.dockerignore` lets into the image's context, of what is in the repository."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    return [
        path
        for path in paths
        if any(path == Path(each) or Path(each) in path.parents for each in kept) and (ROOT / path).is_file()
    ]


def copied(into: Path, paths: list[Path]) -> None:
    """A clean copy of the context."""
    for path in paths:
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)


@dataclass
class Builder:
    """Carries stages out, one after the other, each in a root folder of its own."""

    folder: Path
    source: Path
    """The context."""
    environment: dict[str, str]

    def build(self, stage: Stage, earlier: dict[str, Path]) -> Path:
        """Do all its steps; the folder that stands for its root."""
        root = self.folder / (stage.name or "image")
        for place in ("build", "opt", "etc", "var/lib"):
            (root / place).mkdir(parents=True, exist_ok=True)
        here = root
        for word, rest in stage.steps:
            match word:
                case "WORKDIR":
                    here = self._moved(rest, root)
                    here.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(shlex.split(rest), here, root, earlier)
                case "RUN":
                    self._run(rest, here, root)
        return root

    def _copy(self, words: list[str], here: Path, root: Path, earlier: dict[str, Path]) -> None:
        source, replaced = self.source, None
        if words[0].startswith("--from="):
            source = earlier[words.pop(0).removeprefix("--from=")]
            replaced = source
        *names, last = words
        target = self._moved(last, root) if last.startswith("/") else here / last
        for name in names:
            found = source / name.lstrip("/")
            if not found.is_dir():
                into = target / found.name if last.endswith("/") or target.is_dir() else target
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)
            elif replaced is not None:
                # An environment names its own folder; it stays where it was built and is found from here.
                target.symlink_to(found, target_is_directory=True)
            else:
                shutil.copytree(found, target, dirs_exist_ok=True)

    def _run(self, command: str, here: Path, root: Path) -> None:
        moved = MOVED.sub(lambda match: f"{root}/{match[1]}", command)
        done = subprocess.run(
            ["/bin/sh", "-c", moved],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **self.environment},
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def _moved(self, path: str, root: Path) -> Path:
        return root / path.lstrip("/")
