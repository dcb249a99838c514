"""What a command says goes to a disk that is full: a word, no traceback, and no success."""

import subprocess
import sys
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[2] / "config" / "proxy.yaml"


@pytest.mark.parametrize(
    "said",
    [
        ("--version",),
        ("check", "--help"),
        ("check", str(TABLE)),
        ("explain", str(TABLE), "--model", "gpt-4o"),
    ],
)
def test_a_full_disk_is_told(said: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "proxy", *said]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    told = done.stderr.decode()
    assert done.returncode == 1
    assert told.splitlines()[-1] == "Error: the output could not be written: No space left on device."
    assert "Traceback" not in told


def test_a_reader_who_left_is_no_fault() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "check", str(TABLE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, told = process.communicate(timeout=60)
    assert b"Traceback" not in told
