"""What a command says goes to a disk that is full: a word, no traceback, and no success."""

import sqlite3
import subprocess
import sys
from contextlib import closing
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


def test_a_key_that_could_not_be_printed_is_not_in_force(tmp_path: Path) -> None:
    """Nobody has it: a new one would let in who knows whom, and a new text would lock out who has the old."""

    def keys(*words: str, to: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "proxy", "keys", "--ledger", str(tmp_path / "ledger.db"), *words]
        with (to or tmp_path / "said").open("w+") as out:
            done = subprocess.run(
                command, stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=60
            )
        done.stdout = "" if to else (tmp_path / "said").read_text()
        return done

    def digests() -> list[tuple[str, bytes]]:
        with closing(sqlite3.connect(tmp_path / "keys.db")) as file:
            return file.execute("SELECT key_id, digest FROM keys").fetchall()

    made = keys("create", "--tenant", "acme")
    before = digests()
    assert [key_id for key_id, _ in before] == [made.stderr.split(":")[0]]
    for words in (("create", "--tenant", "acme"), ("rotate", before[0][0])):
        failed = keys(*words, to=Path("/dev/full"))
        assert failed.returncode == 1
        assert failed.stderr == "Error: the output could not be written: No space left on device.\n"
        assert digests() == before


def test_a_reader_who_left_is_no_fault() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "check", str(TABLE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, told = process.communicate(timeout=60)
    assert b"Traceback" not in told
