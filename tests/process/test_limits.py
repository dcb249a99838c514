"""Q1 over HTTP: sixty-four callers against one limit, over a real port and on a real disk."""

import asyncio

import aiohttp
import apsw

from proxy.store.replay import check
from tests.kit.processes import house
from tests.store.watched import most

CALLERS = 64
CALLS = 200
"""Of each."""
CEILING = 100_000
"""Some four thousand answers; a call's worst case is less than a thousandth of it."""
LIMITS = f"\nlimits:\n  - {{per: tenant, tokens: {CEILING}, every: month}}\n"


async def ask(session: aiohttp.ClientSession, built) -> int:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 50}
    async with session.post(built.base_url + "/chat/completions", json=body) as response:
        await response.read()
        return response.status


def balance(built) -> tuple[int, int]:
    """(used, held) of the one counter."""
    connection = apsw.Connection(str(built.folder / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return next(connection.execute("SELECT used, held FROM balances"), (0, 0))
    finally:
        connection.close()


async def storm(built, seen: list[tuple[int, int]]) -> list[int]:
    """All callers at once until the limit bites, then one alone until not even it fits."""
    headers = {"authorization": f"Bearer {built.key}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> list[int]:
            return [await ask(session, built) for _ in range(CALLS)]

        asked = asyncio.gather(*(caller() for _ in range(CALLERS)))
        while not asked.done():
            await asyncio.wait({asked}, timeout=0.05)
            seen.append(balance(built))
        statuses = [status for each in asked.result() for status in each]
        while (status := await ask(session, built)) != 429:
            statuses.append(status)
        return [*statuses, status]


def test_a_burst_never_overshoots_and_hardly_undershoots(tmp_path):
    with house(tmp_path, extra=LIMITS) as built:
        seen: list[tuple[int, int]] = []
        statuses = asyncio.run(storm(built, seen))
        used, held = balance(built)
        assert set(statuses) == {200, 429}
        assert len(statuses) > CALLERS * CALLS
        assert all(a + b <= CEILING for a, b in seen)
        assert 0.95 * CEILING <= used <= CEILING
        assert held == 0
        built.kill("proxy", how=15)
        assert check(built.folder / "ledger.db") == ()
        assert max(most(built.folder / "ledger.db").values()) <= CEILING
