"""`python -m proxy` and the `fallthrough` command: hands over to the command line."""

from proxy.cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="fallthrough")


if __name__ == "__main__":
    main()
