"""No call waits for the system on the thread of the loop, where it would hold up all others."""

import subprocess
import sys

import pytest


def waits(folder, *words) -> list[str]:
    command = [sys.executable, "-m", "tests.house.blocking", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    return done.stdout.splitlines()


@pytest.mark.fault("d16-blocked")
def test_no_call_of_any_kind_opens_a_file_looks_up_a_name_or_naps_on_the_loop(tmp_path):
    assert waits(tmp_path) == []


def test_a_slip_that_does_is_seen(tmp_path):
    found = waits(tmp_path, "slip")
    assert found
    assert all(line.startswith("open ") for line in found)
