"""A proxy in a process of its own, its upstreams and callers on the test's loop: every step is released."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kit.one_loop import Asker, Parts, ask, joined, parts
from tests.kit.processes import TABLE, House


@dataclass(frozen=True)
class Beside:
    """A running proxy, and the upstreams behind it."""

    house: House
    upstreams: Parts

    async def caller(self, prompt: str) -> Asker:
        """Someone who has sent a call."""
        made = await joined(self.house.ports["proxy"])
        head, _, rest = ask(prompt).partition(b"\r\n")
        made.transport.write(head + f"\r\nauthorization: Bearer {self.house.key}\r\n".encode() + rest)
        return made

    def ready(self) -> bool:
        try:
            return self.house.get("probes", "/readyz")[0] == 200
        except OSError:
            return False


def table(port: int) -> str:
    """One upstream, and a drain that no test outlives."""
    head, _, _ = TABLE.partition("upstreams:")
    upstream = f"upstreams:\n  one: {{{{dialect: openai, base_url: 'http://127.0.0.1:{port}/v1'}}}}\n"
    return (
        head.replace("drain: 5s", "drain: 10m")
        + upstream
        + "routes:\n  - {{model: chat, targets: [one/m]}}\n"
    )


@asynccontextmanager
async def beside(folder: Path, **process: Any) -> AsyncIterator[Beside]:
    """A proxy that serves; `process` says how it is started otherwise than usual."""
    async with parts() as upstreams:
        house = House(folder, table=table(upstreams.port), process=process)
        try:
            house.key = await asyncio.to_thread(house.new_key, "acme")
            await asyncio.to_thread(house.serve)
            yield Beside(house, upstreams)
        finally:
            await asyncio.to_thread(house.close)
