"""What is left of the answers when more is asked than can be given: goodput under overload.

Used by `__main__.py`. The upstream bears so many calls at once and takes its time for each, so that what it
can give is known. Calls come at a fixed rate whether or not earlier ones were answered, from callers who wait
for a while and then have no use for an answer. Good is what arrives whole by then; what is refused is not
good, but costs nobody anything.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any

from bench.processes import BUILD, PROXY_CORE, on_core, serving
from bench.systems import PROXY, PROXY_PORT, fresh, new_key

PLACES = 8
TAKES_S = 0.16
CAPACITY = PLACES / TAKES_S
"""Answers a second that the upstream can give."""
OFFERED = (0.5, 1.0, 2.0, 4.0)
"""Times what it can give."""
PATIENCE_S = 2.0
SECONDS, QUICK_S = 8.0, 2.0

Figures = dict[str, Any]

LIMITED = PROXY.replace("    api_key: not-a-secret\n", f"    api_key: not-a-secret\n    streams: {PLACES}\n")


@dataclass
class Arrivals:
    """One run: calls that come at their time, and what became of each."""

    key: str
    ends: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds to each good answer."""
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def at(self, rate: float, seconds: float) -> Figures:
        """So many a second for so long."""
        number = int(rate * seconds)
        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for turn in range(number):
                await asyncio.sleep(max(0.0, began + turn / rate - perf_counter()))
                group.create_task(self._one())
        took = perf_counter() - began
        for _, writer in self._idle:
            writer.close()
        cuts = quantiles(self.waits, n=100) if len(self.waits) > 1 else [0.0] * 99
        shares = {end: self.ends[end] / took for end in ("good", "late", "refused", "failed")}
        return {"offered": number / took, **shares, "p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}

    async def _one(self) -> None:
        began = perf_counter()
        try:
            status = await self._ask()
        except (OSError, asyncio.IncompleteReadError):
            self.ends["failed"] += 1
            return
        wait = perf_counter() - began
        if status == 200 and wait <= PATIENCE_S:
            self.ends["good"] += 1
            self.waits.append(wait)
        elif status == 200:
            self.ends["late"] += 1
        else:
            self.ends["refused" if status in {429, 503, 504} else "failed"] += 1

    async def _ask(self) -> int:
        """One call over a connection that is free, or a new one; its status."""
        line = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", PROXY_PORT)
        reader, writer = line
        said = [{"role": "user", "content": f"@@d={TAKES_S * 1e6:.0f}@@"}]
        body = json.dumps({"model": "mock-model", "messages": said}).encode()
        fields = (f"authorization: Bearer {self.key}", f"x-request-timeout: {PATIENCE_S:g}s")
        head = "\r\n".join(("POST /v1/chat/completions HTTP/1.1", "host: proxy", *fields))
        writer.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(answer.partition("content-length: ")[2].split("\r\n")[0]))
        if "connection: close" in answer:
            writer.close()
        else:
            self._idle.append(line)
        return int(answer.split()[1])


def measure(*, quick: bool) -> Figures:
    """Every rate, one after the other, through one proxy."""
    with proxy() as key:
        seconds = QUICK_S if quick else SECONDS
        asyncio.run(Arrivals(key).at(CAPACITY / 2, 1.0))  # so that it knows how long an answer takes
        return {
            f"{times:g}": asyncio.run(Arrivals(key).at(CAPACITY * times, seconds)) for times in OFFERED
        } | {"capacity": CAPACITY}


@contextmanager
def proxy() -> Iterator[str]:
    """The proxy with a limited upstream; yields a caller's key. The mock is there already."""
    room = fresh("goodput")
    config = room / "proxy.yaml"
    config.write_text(LIMITED)
    program = str(Path(sys.executable).with_name("fallthrough"))
    key, log = new_key(program, config), BUILD / "goodput.log"
    command = on_core(PROXY_CORE, [program, "serve", "--config", str(config)])
    with serving(command, PROXY_PORT, "/healthz", log, cwd=room):
        yield key


TITLES: Mapping[str, str] = {
    "offered": "offered (calls/s)",
    "good": "good: whole in time (answers/s)",
    "kept": "good, of what the upstream can give",
    "late": "whole, but too late (answers/s)",
    "refused": "refused (calls/s)",
    "failed": "failed (calls/s)",
    "p50_ms": "good answers, median (ms)",
    "p99_ms": "good answers, p99 (ms)",
}


def rows(found: Figures) -> Iterator[tuple[str, ...]]:
    """The lines of the table, a column for each rate."""
    runs = [found[f"{times:g}"] for times in OFFERED]
    for name, title in TITLES.items():
        values = [run["good"] / found["capacity"] if name == "kept" else run[name] for run in runs]
        yield title, *(f"{value:,.2f}" if name == "kept" else f"{value:,.0f}" for value in values)
