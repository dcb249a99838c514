"""Files that people name, read without ever waiting for anybody.

Opening a pipe waits for whoever writes into it, perhaps for ever, and no signal ends the thread that waits:
a table watched by `serve` must never do that. So what is opened is opened without waiting, and looked at
afterwards, when nobody can put something else in its place.
"""

import errno
import os
import stat
from pathlib import Path


class NotRegular(OSError):
    """A pipe, a socket, a device or a directory, wherever symbolic links led."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


def read_regular(path: Path, most: int) -> bytes:
    """At most so many bytes of the file. Raises `OSError`, and `ValueError` for what is no path."""
    with open(path, "rb", opener=_without_waiting) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotRegular
        return stream.read(most)


def _without_waiting(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that nobody drives
            raise NotRegular from None
        raise
