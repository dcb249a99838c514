"""A command that kills itself at a step: `python -m tests.kit.killed MODULE.NAME:before|after WORDS…`."""

import asyncio
import functools
import importlib
import os
import signal
import subprocess
import sys

from proxy.cli import cli


def run_killed(step, *words):
    """Run `fallthrough WORDS…` up to a step, in a process of its own; its exit status."""
    command = [sys.executable, "-m", "tests.kit.killed", step, *words]
    return subprocess.run(command, check=False, timeout=60).returncode


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(step, function):
    """The function, and the end of the process before or after it."""
    if asyncio.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run(*values, **named):
            if step == "after":
                await function(*values, **named)
            die()

    else:

        @functools.wraps(function)
        def run(*values, **named):
            if step == "after":
                function(*values, **named)
            die()

    return run


def holder_of(path):
    """The module or class that holds the last name of `path`."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[length:-1], found), parts[-1]
    raise LookupError(path)


if __name__ == "__main__":
    name, step = sys.argv[1].split(":")
    holder, last = holder_of(name)
    setattr(holder, last, deadly(step, getattr(holder, last)))
    cli(sys.argv[2:])
