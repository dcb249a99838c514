"""`fallthrough serve`: run the proxy until it is told to stop."""

import os
import signal
import sys
from pathlib import Path

import click
import uvloop

from proxy.app import Orders
from proxy.app import serve as run
from proxy.cli.clock import ProcessClock
from proxy.config import ConfigError, Loaded, load
from proxy.place import Database
from proxy.server.logs import configure_logging
from proxy.server.worker import VARIABLE, Worker
from proxy.simulator import ScriptFault
from proxy.store.fault import StoreRefused
from proxy.workers import Plan, supervise


@click.command(epilog="Example: fallthrough serve --config proxy.yaml")
@click.option(
    "--config", type=click.Path(path_type=Path), help="The table; without it the environment is enough."
)
@click.option(
    "--simulator-script",
    "script",
    type=click.Path(path_type=Path),
    help="How the simulated upstreams misbehave; read anew when it changes.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes behind the same addresses; several need a ledger in PostgreSQL.",
)
def serve(config: Path | None, script: Path | None, workers: int) -> None:
    """Run the proxy."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a table to read anew
    configure_logging()
    told = os.environ.pop(VARIABLE, None)
    worker = None if told is None else Worker.load(told)
    try:
        loaded = load(config, os.environ)
        if workers > 1 and worker is None:
            sys.exit(_supervise(loaded, config, script, workers))
        uvloop.run(run(Orders(loaded, config, script, worker)))
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        sys.exit(2)
    except ScriptFault as fault:
        click.echo(f"{script}: {fault}", err=True)
        sys.exit(2)
    except StoreRefused as error:
        click.echo(f"the ledger cannot be used: {error}", err=True)
        sys.exit(3)
    except OSError as error:
        click.echo(f"cannot listen: {error.strerror or error}", err=True)
        sys.exit(4)


def _supervise(loaded: Loaded, config: Path | None, script: Path | None, workers: int) -> int:
    """Run several, each as this command is run by hand."""
    ledger = loaded.settings.ledger
    if not isinstance(ledger, Database):
        remedy = "name a PostgreSQL database in settings.ledger, or serve with one worker"
        raise StoreRefused(ledger, f"a ledger in a file has one process, not {workers}", remedy)
    options = (("--config", config), ("--simulator-script", script))
    words = [word for option, value in options if value is not None for word in (option, str(value))]
    return uvloop.run(supervise(Plan(("serve", *words), loaded.settings, workers), ProcessClock()))
