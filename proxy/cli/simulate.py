"""`fallthrough simulate`: play upstreams on this machine, and let them fail by script."""

import asyncio
import sys
from pathlib import Path

import click

from proxy.config import ConfigError
from proxy.simulator import serve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--script", type=click.Path(path_type=Path), help="How they misbehave; read anew when it changes."
)
def simulate(host: str, port: int, script: Path | None) -> None:
    """Play an OpenAI and a vLLM upstream."""
    try:
        asyncio.run(_play(host, port, script))
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"cannot listen: {error.strerror or error}", err=True)
        sys.exit(4)
    except KeyboardInterrupt:
        click.echo("stopped")


async def _play(host: str, port: int, script: Path | None) -> None:
    async with serve(script, host, port) as base:
        for name in ("openai", "vllm"):
            click.echo(f"{name}: {base}/{name}/v1")
        await asyncio.Event().wait()
