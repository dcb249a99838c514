"""SIGTERM with two hundred streams open: who ends in time ends whole, and who does not is told.

No time is waited out. The first signal has a patience that no test outlives, and the second one ends it.
"""

import asyncio
import os
import signal
from collections import Counter

import pytest
import uvloop

from tests.kit.one_loop import DONE, LAST, TOKENS, ask, joined, parts, rows_of, until
from tests.kit.processes import TABLE, House, eventually

ENDING, STAYING, SILENT = 140, 40, 20
"""Streams whose upstream ends them, falls silent in the middle, and has not said a word yet."""
CALLS = [*(f"4 {number}" for number in range(ENDING)), *(f"4 stays {number}" for number in range(STAYING))]
CALLS += [f"1 stays {number}" for number in range(SILENT)]


def table(port: int) -> str:
    head, _, _ = TABLE.partition("upstreams:")
    upstream = f"upstreams:\n  one: {{{{dialect: openai, base_url: 'http://127.0.0.1:{port}/v1'}}}}\n"
    routes = "routes:\n  - {{model: chat, targets: [one/m]}}\n"
    return head.replace("drain: 5s", "drain: 10m") + upstream + routes


def ready(house: House) -> bool:
    try:
        return house.get("probes", "/readyz")[0] == 200
    except OSError:
        return False


async def drain(house: House, upstreams) -> list[bytes]:
    """What each caller got of a proxy that was told to stop twice."""
    proxy = house.processes["proxy"]
    callers = [await joined(house.ports["proxy"]) for _ in CALLS]
    for caller, prompt in zip(callers, CALLS, strict=True):
        head, _, body = ask(prompt).partition(b"\r\n")
        caller.transport.write(head + f"\r\nauthorization: Bearer {house.key}\r\n".encode() + body)
    begun = callers[: ENDING + STAYING]
    await until(lambda: all(b" one" in caller.got for caller in begun) and len(upstreams.heard) == len(CALLS))
    os.kill(proxy.pid, signal.SIGTERM)
    await asyncio.to_thread(eventually, lambda: not ready(house))
    upstreams.let_go(but="stays")
    await asyncio.gather(*(caller.until(LAST) for caller in callers[:ENDING]))
    assert proxy.poll() is None, "it waits for those who are left"
    os.kill(proxy.pid, signal.SIGTERM)
    await until(lambda: all(caller.lost for caller in callers))
    assert await asyncio.to_thread(proxy.wait, 30) == 0
    return [bytes(caller.got) for caller in callers]


async def played(folder) -> list[bytes]:
    async with parts() as upstreams:
        house = House(folder, table=table(upstreams.port))
        try:
            house.key = await asyncio.to_thread(house.new_key, "acme")
            await asyncio.to_thread(house.serve)
            return await drain(house, upstreams)
        finally:
            await asyncio.to_thread(house.close)


@pytest.mark.fault("d1-drain", "d1-again")
def test_of_two_hundred_streams_none_that_ends_in_time_is_cut_short(tmp_path):
    got = uvloop.run(played(tmp_path))
    for whole in got[:ENDING]:
        assert all(word.encode() in whole for word in TOKENS)
        assert DONE in whole
        assert whole.endswith(LAST)
    for cut in got[ENDING : ENDING + STAYING]:
        assert b" one" in cut
        assert b'"code":"shutdown"' in cut
        assert DONE not in cut
    for refused in got[ENDING + STAYING :]:
        assert refused.startswith(b"HTTP/1.1 503")
    rows = rows_of(tmp_path)
    begun = Counter(call for kind, call, _ in rows if kind == "reserve")
    ended = Counter(call for kind, call, _ in rows if kind in {"commit", "release", "expire"})
    assert begun == ended
    assert set(begun.values()) == {1}
    results = Counter(result for kind, _, result in rows if kind != "reserve")
    assert results == {"ok": ENDING, "shutdown": STAYING + SILENT}
