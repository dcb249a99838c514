"""Files that people name, read without ever waiting for anybody.

Opening a pipe waits for whoever writes into it, perhaps for ever, and no signal ends the thread that waits:
a table watched by `serve` must never do that. So what is opened is opened without waiting, and looked at
afterwards, when nobody can put something else in its place. What the file looked like when it was read comes
with it, so that whoever watches it misses no edit in between.
"""

import errno
import os
import stat
from pathlib import Path


class NotRegular(OSError):
    """A pipe, a socket, a device or a directory, wherever symbolic links led."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


Stamp = tuple[int, int, int]
"""What changes when a file does: when it was written (ns), which one it is, its size in bytes."""


def stamp_of(path: Path) -> Stamp | None:
    """That of the file, wherever symbolic links lead; None: it is not there."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def read_regular(path: Path, most: int) -> bytes:
    """At most so many bytes of the file. Raises `OSError`, and `ValueError` for what is no path."""
    return read_stamped(path, most)[0]


def read_stamped(path: Path, most: int) -> tuple[bytes, Stamp]:
    """The same, with what the file looked like before the first byte was read."""
    with open(path, "rb", opener=_without_waiting) as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise NotRegular
        return stream.read(most), _stamp(found)


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_ino, found.st_size


def _without_waiting(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that nobody drives
            raise NotRegular from None
        raise
