"""SIGTERM with two hundred streams open: who ends in time ends whole, and who does not is told.

No time is waited out. The first signal has a patience that no test outlives, and the second one ends it.
"""

import asyncio
import os
import signal
from collections import Counter

import pytest
import uvloop

from tests.kit.beside import Beside, beside
from tests.kit.one_loop import DONE, LAST, TOKENS, rows_of, until
from tests.kit.processes import eventually

ENDING, STAYING, SILENT = 140, 40, 20
"""Streams whose upstream ends them, falls silent in the middle, and has not said a word yet."""
CALLS = [*(f"4 {number}" for number in range(ENDING)), *(f"4 stays {number}" for number in range(STAYING))]
CALLS += [f"1 stays {number}" for number in range(SILENT)]


async def drain(proxy: Beside) -> list[bytes]:
    """What each caller got of a proxy that was told to stop twice."""
    process = proxy.house.processes["proxy"]
    callers = [await proxy.caller(prompt) for prompt in CALLS]
    begun = callers[: ENDING + STAYING]
    heard = proxy.upstreams.heard
    await until(lambda: all(b" one" in caller.got for caller in begun) and len(heard) == len(CALLS))
    os.kill(process.pid, signal.SIGTERM)
    await asyncio.to_thread(eventually, lambda: not proxy.ready())
    proxy.upstreams.let_go(but="stays")
    await asyncio.gather(*(caller.until(LAST) for caller in callers[:ENDING]))
    assert process.poll() is None, "it waits for those who are left"
    os.kill(process.pid, signal.SIGTERM)
    await until(lambda: all(caller.lost for caller in callers))
    assert await asyncio.to_thread(process.wait, 30) == 0
    return [bytes(caller.got) for caller in callers]


async def played(folder) -> list[bytes]:
    async with beside(folder) as proxy:
        return await drain(proxy)


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
