"""`python -m proxy` and the `fallthrough` command: hands over to the command line."""

import gc

from proxy.cli import cli

YOUNG = 20_000
"""Objects made before garbage is looked for among them. Python looks after 700: that is some three calls, and
a hundred times while the program is read, of which nothing is garbage."""


def main() -> None:
    """Run the command line."""
    gc.set_threshold(YOUNG, 20, 100)
    cli(prog_name="fallthrough")


if __name__ == "__main__":
    main()
