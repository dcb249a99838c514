"""The whole proxy killed at random under load: nothing acknowledged is lost, nothing counted twice.

Each round 64 callers ask as fast as they are answered, whole and streamed; in the middle of it the
process gets SIGKILL and is started again on the same ledger. Seeds are fixed; the moment of a kill
is counted in answers, not in seconds.
"""

import asyncio
import random
from collections import Counter

import aiohttp
import apsw
import pytest

from proxy.store.replay import check
from tests.kit.processes import house

CALLERS = 64
ROUNDS = 25
CEILING = 600_000
LIMITS = f"""
limits:
  - {{per: tenant, tokens: {CEILING}, every: month}}
  - {{upstream: first, tokens: {CEILING // 2}, every: month}}
"""


class Load:
    """Callers who ask until the proxy dies, and remember every answer that was whole."""

    def __init__(self, built, seed: int) -> None:
        self._built = built
        self._dice = random.Random(seed)
        self._enough = self._dice.randrange(1, 300)
        self.answered: list[str] = []
        self.refused = 0
        self._dead = asyncio.Event()

    async def run(self) -> None:
        """Ask, kill the proxy after a random number of answers, and wait until everybody noticed."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(self._ask(session, number) for number in range(CALLERS)), self._kill())

    async def _kill(self) -> None:
        await self._dead.wait()
        await asyncio.to_thread(self._built.kill, "proxy")

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        body = {
            "model": "chat",
            "messages": [{"role": "user", "content": f"caller {number}"}],
            "max_completion_tokens": 50,
            "stream": number % 2 == 0,
        }
        headers = {"authorization": f"Bearer {self._built.key}"}
        url = self._built.base_url + "/chat/completions"
        while not self._dead.is_set():
            try:
                async with session.post(url, json=body, headers=headers) as response:
                    text = await response.read()
            except aiohttp.ClientError:
                return
            if len(self.answered) + self.refused >= self._enough:
                self._dead.set()
            if response.status == 429:
                self.refused += 1
            elif response.status == 200 and (not body["stream"] or b"[DONE]" in text):
                self.answered.append(response.headers["x-request-id"])


def rows(built) -> list[tuple[str, str, str]]:
    """(kind, call id, result) of every audit row."""
    connection = apsw.Connection(str(built.folder / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(connection.execute("SELECT kind, call_id, result FROM rows"))
    finally:
        connection.close()


def used(built) -> dict[str, tuple[int, int]]:
    """(used, held) by scope."""
    connection = apsw.Connection(str(built.folder / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return {scope: (a, b) for scope, a, b in connection.execute("SELECT scope, used, held FROM balances")}
    finally:
        connection.close()


@pytest.mark.fault("d2-kill")
@pytest.mark.timeout(240)
def test_twenty_five_kills_lose_nothing_double_nothing_and_overshoot_nothing(tmp_path):
    with house(tmp_path, extra=LIMITS) as built:
        built.script("{first: [{when: {share: 0.3}, do: {status: 503}}]}")
        answered: list[str] = []
        refused = 0
        for seed in range(ROUNDS):
            load = Load(built, seed)
            asyncio.run(load.run())
            answered += load.answered
            refused += load.refused
            built.serve()
        built.kill("proxy", how=15)
        assert check(built.folder / "ledger.db") == ()
        found = rows(built)
        balances = used(built)
    settled = Counter(call for kind, call, _ in found if kind in {"commit", "release", "expire"})
    reserved = Counter(call for kind, call, _ in found if kind == "reserve")
    assert len(answered) > CALLERS * 5
    assert set(answered) <= set(reserved), "an answered call is missing from the ledger"
    assert max(reserved.values()) == 1
    assert reserved == settled, "a call is open or was settled twice"
    assert any(kind == "expire" for kind, _, _ in found), "no kill hit a call in progress"
    for scope, (spent, held) in balances.items():
        assert held == 0, scope
        assert spent <= CEILING, scope
