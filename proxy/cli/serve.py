"""`fallthrough serve`: run the proxy until it is told to stop."""

import os
import sys
from pathlib import Path

import click
import uvloop

from proxy.app import Orders
from proxy.app import serve as run
from proxy.config import ConfigError, load
from proxy.server.logs import configure_logging
from proxy.simulator.script import ScriptFault
from proxy.store.fault import StoreRefused


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="The table; without it the environment is enough."
)
@click.option(
    "--simulator-script",
    "script",
    type=click.Path(path_type=Path),
    help="How the simulated upstreams misbehave; read anew when it changes.",
)
def serve(config: Path | None, script: Path | None) -> None:
    """Run the proxy."""
    configure_logging()
    try:
        uvloop.run(run(Orders(load(config, os.environ), config, script)))
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
