"""The image: its Dockerfile judged, its wheel looked into, and its steps carried out where no engine is."""

import http.client
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Builder, context, copied, stages
from tests.deploy.judges import ROOT, passes
from tests.kit.processes import VENDORS, eventually, free_ports

pytestmark = pytest.mark.timeout(180)

BUILDER, IMAGE = stages()
PEOPLE = 65532


def test_hadolint_finds_no_fault():
    passes("hadolint", "--failure-threshold", "style", "Dockerfile")


def test_no_user_is_root_and_nothing_of_the_first_stage_but_the_program_is_in_the_image():
    assert IMAGE.last("USER") == f"{PEOPLE}:{PEOPLE}"
    assert [rest for kind, rest in IMAGE.steps if kind == "COPY"] == [
        "--from=builder /opt/fallthrough /opt/fallthrough"
    ]
    assert BUILDER.image == IMAGE.image
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", IMAGE.image)


def test_the_image_s_python_is_one_that_the_project_is_for():
    version = re.search(r"python:(3\.\d+)", IMAGE.image)[1]
    assert f"Programming Language :: Python :: {version}" in (ROOT / "pyproject.toml").read_text()


def test_no_shell_stands_between_the_program_and_its_signals():
    assert IMAGE.words("ENTRYPOINT") == ["fallthrough"]
    assert IMAGE.words("CMD") == ["serve"]
    assert IMAGE.last("HEALTHCHECK").endswith(
        'CMD ["fallthrough", "health", "--url", "http://127.0.0.1:8082/readyz"]'
    )


def test_the_context_holds_what_is_copied_and_nothing_that_is_secret_or_of_no_use():
    paths = context()
    for kind, rest in BUILDER.steps:
        if kind == "COPY":
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources)
            assert all(any(Path(s) == p or Path(s) in p.parents for p in paths) for s in sources)
    top = {path.parts[0] for path in paths}
    locks = {"requirements.lock", "requirements-otel.lock"}
    assert top == {"LICENSE", "README.md", "deploy", "proxy", "pyproject.toml", *locks}
    assert [str(path) for path in paths if path.parts[0] == "deploy"] == ["deploy/build.sh"]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-otel.lock"])
def test_every_requirement_is_locked_by_hash(lock):
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert len(pinned) > 20
    assert not [line for line in pinned if not re.match(r"\S+==\S+ .*--hash=sha256:", line)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The program's wheel, made as the image makes it: from the context alone."""
    source, into = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("wheel")
    copied(source, context())
    words = (
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--quiet",
        "--wheel-dir",
        into,
        source,
    )
    made = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (found,) = into.glob("fallthrough-*.whl")
    return found


def test_the_wheel_holds_the_program_with_all_it_reads_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packaged = {str(path) for path in context() if path.parts[0] == "proxy"}
    assert {name for name in names if not name.startswith("fallthrough-")} == packaged
    assert any(name.endswith(".sql") for name in names)
    assert "proxy/facts/models.json" in names


def test_what_is_in_the_wheel_runs_by_its_entry_point(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        (told,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "fallthrough = proxy.__main__:main" in archive.read(told).decode()
    script = "import proxy, sys; from proxy.__main__ import main; print(proxy.__file__); main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "check"],
        env={name: value for name, value in environment.items() if name not in VENDORS}
        | {"VLLM_URL": "http://127.0.0.1:9/v1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(str(tmp_path))
    assert "vllm" in done.stdout


def let_in(folder):
    """Let everybody pass through a folder of ours, and those above it."""
    for each in (folder, *folder.parents):
        mode = each.stat().st_mode
        if not mode & stat.S_IXOTH:
            each.chmod(mode | stat.S_IXOTH)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Both stages, carried out in a clean folder: the image's root, and the environment's home."""
    if os.geteuid() != 0:
        pytest.skip("the steps give a folder away, which only root can")
    folder = tmp_path_factory.mktemp("image")
    let_in(folder)
    source = folder / "context"
    copied(source, context())
    python = (
        shutil.which(f"python3.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin") or sys.executable
    )
    builder = Builder(folder, source, {"PYTHON": python})
    first = builder.build(BUILDER, {})
    return builder.build(IMAGE, {BUILDER.name: first}), first / "opt" / "fallthrough"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_steps_make_a_small_environment_that_can_install_nothing(image):
    _, home = image
    assert not list(home.glob("lib/python3.*/site-packages/pip"))
    assert not list(home.glob("lib/python3.*/site-packages/setuptools"))
    assert not list(home.rglob("*.pyx"))
    size = sum(path.lstat().st_size for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < 120 * 1024 * 1024


CLOSED = """\
set -e
ip link set lo up
mount --bind "$DATA" "$DATA"
mount -o remount,bind,ro /
cd "$DATA"
exec setpriv --reuid={0} --regid={0} --clear-groups --no-new-privs --bounding-set=-all "$@"
"""


@pytest.fixture
def closed(tmp_path):
    """Words that run a program as a cluster would: not as root, without network, on a read-only root."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, PEOPLE, PEOPLE)
    let_in(tmp_path)
    words = ("unshare", "--net", "--mount", "/bin/sh", "-c", CLOSED.format(PEOPLE), "sh")
    if subprocess.run([*words, "true"], env={**os.environ, "DATA": str(data)}, check=False).returncode != 0:
        pytest.skip("this machine lets nobody make namespaces")
    return words, data


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_the_steps_made_serves_as_nobody_without_network_on_a_root_that_is_read_only(image, closed):
    _, home = image
    words, data = closed
    proxy, probes = free_ports(2)
    environment = {
        **IMAGE.environment,
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "FALLTHROUGH_LISTEN": f"0.0.0.0:{proxy}",
        "FALLTHROUGH_PROBES": f"0.0.0.0:{probes}",
        "FALLTHROUGH_ADMIN": "off",
        "FALLTHROUGH_LEDGER": f"sqlite:///{data}/ledger.db",
        "OPENAI_API_KEY": "sk-x",
        "DATA": str(data),
    }
    before = {path: path.lstat().st_mtime_ns for path in home.rglob("*")}
    log = data.parent / "log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            [*words, *IMAGE.words("ENTRYPOINT"), *IMAGE.words("CMD")],
            env=environment,
            stdout=told,
            stderr=told,
        )
    try:
        inside = ("nsenter", f"--target={process.pid}", "--net", "--mount")
        asked = (
            *inside,
            home / "bin" / "fallthrough",
            "health",
            "--url",
            f"http://127.0.0.1:{probes}/readyz",
        )

        def ready():
            assert process.poll() is None, log.read_text()
            return subprocess.run(asked, capture_output=True, check=False).returncode == 0

        eventually(ready, 60)
        assert {path.name for path in data.iterdir()} >= {"ledger.db", "keys.db"}
        assert {path: path.lstat().st_mtime_ns for path in home.rglob("*")} == before
        owner = (data / "ledger.db").stat().st_uid
        assert owner == PEOPLE
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0, log.read_text()


def test_health_is_an_exec_probe_of_a_running_proxy(scrape):
    """As a kubelet runs it, with the words of the image; and it fails where nobody answers."""
    words = re.search(r"CMD (\[.*\])", IMAGE.last("HEALTHCHECK"))[1]
    *command, url = re.findall(r'"([^"]+)"', words)
    assert command[0] == "fallthrough"
    ports = scrape.house.ports

    def probe(port):
        at = url.replace(":8082", f":{port}")
        return subprocess.run(
            [sys.executable, "-m", "proxy", *command[1:], at], capture_output=True, text=True, check=False
        )

    well = probe(ports["probes"])
    assert (well.returncode, '"ready"' in well.stdout) == (0, True), well.stdout
    (nobody,) = free_ports(1)
    assert probe(nobody).returncode == 1
    with closing(http.client.HTTPConnection("127.0.0.1", ports["probes"])) as line:
        line.request("GET", "/v1/models")
        assert line.getresponse().status == 404, "the probes listener answers nothing else"
