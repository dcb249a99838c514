"""`python -m proxy` and the `fallthrough` command: hands over to the command line.

What a command says may meet a full disk where it is kept; then it ends with a word, not with a traceback. A
reader who has left (`| head`) is no fault, and click's to know.
"""

import errno
import gc
import os
import sys

from proxy.cli import cli

YOUNG = 20_000
"""Objects made before garbage is looked for among them. Python looks after 700: that is some three calls, and
a hundred times while the program is read, of which nothing is garbage."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def main() -> None:
    """Run the command line."""
    gc.set_threshold(YOUNG, 20, 100)
    try:
        cli(prog_name="fallthrough")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        # What could not be written is still in the buffer, and would be tried again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = "the output" if error.filename is None else error.filename
        sys.exit(f"Error: {where} could not be written: {error.strerror}.")


if __name__ == "__main__":
    main()
