"""`fallthrough simulate`: serve fake upstreams that fail on a script."""

import asyncio
import signal
import sys
from pathlib import Path

import click

from proxy.simulator import ScriptFault, serve


@click.command(epilog="Example: fallthrough simulate --port 9000 --script config/scripts/bad-day.yaml")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--script", type=click.Path(path_type=Path), help="How they misbehave; read anew when it changes."
)
def simulate(host: str, port: int, script: Path | None) -> None:
    """Serve fake upstreams that fail on a script."""
    try:
        asyncio.run(_run(host, port, script))
    except ScriptFault as fault:
        click.echo(f"{script}: {fault}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"cannot simulate: {error}", err=True)
        sys.exit(4)


async def _run(host: str, port: int, script: Path | None) -> None:
    """Until SIGTERM or SIGINT, whatever whoever started us does with them."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(script, host, port) as base:
        click.echo(f"Simulated upstreams: {base}/openai/v1 and {base}/vllm/v1 (any name will do)")
        await stop.wait()
