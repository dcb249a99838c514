"""Four proxies on one PostgreSQL database under sixty-four callers; one is killed and comes back."""

import asyncio
import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass, field

import aiohttp
import pytest

from proxy.store.postgres.database import LEDGER, connect
from tests.kit.processes import TABLE, House, eventually
from tests.kit.second import address, second_verifier
from tests.process.test_replicas import query
from tests.store.watched import most

CALLERS, PROXIES = 64, 4
TOKENS, REQUESTS, ANSWER = 170_000, 900, 60
"""Some 2,600 answers of the tenant; the key that half of the callers have runs into its own limit before."""
LIMITS = f"""
limits:
  - {{per: tenant, tokens: {TOKENS}, every: month}}
  - {{per: key, requests: {REQUESTS}, every: minute}}
"""
REFUSED = 3
"""A caller that was refused so often goes home."""
KILLED_AFTER = 400
"""Answers."""

STANDS = """
SELECT b.scope, b.used, b.held, b.ceiling, CAST(coalesce(sum(s.amount), 0) AS bigint) FROM balances AS b
LEFT JOIN slices AS s ON s.scope = b.scope AND s.window_start = b.window_start
GROUP BY b.scope, b.window_start
"""


@pytest.fixture
def houses(tmp_path, database):
    """Four proxies, one set of upstreams."""
    table, built = TABLE.replace("sqlite:///{folder}/ledger.db", database.url), []
    with contextlib.ExitStack() as stack:
        for number in range(PROXIES):
            (tmp_path / str(number)).mkdir()
            built.append(House(tmp_path / str(number), extra=LIMITS, table=table))
            stack.callback(built[-1].close)
            table = table.replace("{simulator}", str(built[0].ports["simulator"]))
        keys = [built[0].new_key("acme") for _ in range(4)]
        built[0].script(f"{{first: [{{do: {{tokens: {ANSWER}}}}}]}}")
        built[0].simulate()
        for each in built:
            each.serve()
        yield built, keys


@dataclass
class Storm:
    """What callers heard, and what was read beside them."""

    houses: list[House]
    answered: dict[str, int] = field(default_factory=dict)
    """Call → the proxy that answered it whole."""
    refused: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Key → how often."""
    cut: int = 0
    over: list[bool] = field(default_factory=list)
    lent: set[str] = field(default_factory=set)
    """Counters that a part of was lent to a proxy."""

    async def caller(self, session: aiohttp.ClientSession, number: int, key: str) -> None:
        turn = refused = 0
        while refused < REFUSED:
            turn += 1
            at = (number + turn) % PROXIES
            try:
                status, call_id = await ask(session, self.houses[at], key)
            except aiohttp.ClientError:
                self.cut += 1
                continue
            if status == 429:
                refused += 1
                self.refused[key] += 1
            else:
                assert status == 200
                assert call_id not in self.answered
                self.answered[call_id] = at

    async def watch(self, database) -> None:
        connection = await connect(database, LEDGER)
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                rows = [tuple(row) for row in await connection.fetch(STANDS)]
                self.over += [used + held + lent > ceiling for _, used, held, ceiling, lent in rows]
                self.lent |= {scope for scope, *_, lent in rows if lent}
                await asyncio.sleep(0.02)
        await connection.close()

    async def kill_one(self) -> None:
        while len(self.answered) < KILLED_AFTER:  # noqa: ASYNC110 - callers are counted, nobody tells
            await asyncio.sleep(0.01)
        await asyncio.to_thread(self.houses[-1].kill, "proxy")
        await asyncio.to_thread(self.houses[-1].serve)


async def alone(built: House, key: str) -> int:
    """One caller until not even it fits; how many answers it had."""
    async with aiohttp.ClientSession() as session:
        answers = 0
        while (await ask(session, built, key))[0] == 200:
            answers += 1
        return answers


async def ask(session: aiohttp.ClientSession, built: House, key: str) -> tuple[int, str]:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": ANSWER}
    headers = {"authorization": f"Bearer {key}"}
    async with session.post(built.base_url + "/chat/completions", json=body, headers=headers) as response:
        await response.read()
        return response.status, response.headers["x-request-id"]


async def stormed(houses, keys, database) -> Storm:
    storm = Storm(houses)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        watching = asyncio.ensure_future(storm.watch(database))
        asked = (
            storm.caller(session, number, keys[0] if number % 2 else keys[1 + number // 2 % 2])
            for number in range(CALLERS)
        )
        await asyncio.gather(storm.kill_one(), *asked)
        watching.cancel()
        await watching
    return storm


@pytest.mark.timeout(180)
def test_4_proxies_keep_two_limits_and_every_acknowledged_call_though_one_is_killed(houses, database):
    built, keys = houses
    storm = asyncio.run(stormed(built, keys, database))
    assert len(storm.over) > 50
    assert not any(storm.over), "a limit was passed at some moment"
    assert storm.cut > 0, "nobody noticed the kill"
    assert all(storm.refused[key] >= REFUSED for key in keys[:3])
    lent = {scope.rpartition("/")[0].partition("=")[2].rpartition("/")[2] for scope in storm.lent}
    assert lent == {"tokens", "requests"}, "nothing was granted from slices"
    left = "SELECT (SELECT count(*) FROM open_calls) + (SELECT count(*) FROM slices WHERE amount > 0)"
    eventually(lambda: query(database, left) == [(0,)], seconds=60)
    assert query(database, "SELECT DISTINCT held FROM balances") == [(0,)]
    asyncio.run(alone(built[0], keys[3]))
    eventually(lambda: query(database, left) == [(0,)])
    kinds = defaultdict(list)
    for call_id, kind in query(database, "SELECT call_id, kind FROM rows WHERE kind <> 'alert' ORDER BY seq"):
        kinds[call_id].append(kind)
    assert all(len(each) == 2 and each[0] == "reserve" for each in kinds.values())
    # A proxy that is killed between an answer and its settlement: another settles the call, once.
    ends = {call_id: kinds[call_id][1] for call_id in storm.answered}
    assert {at for call_id, at in storm.answered.items() if ends[call_id] != "commit"} <= {PROXIES - 1}
    assert sum(end != "commit" for end in ends.values()) <= CALLERS
    used = dict(query(database, "SELECT scope, used FROM balances WHERE scope LIKE '%tokens%'"))
    assert [0.95 * TOKENS <= each <= TOKENS for each in used.values()] == [True], used
    highest = most(database)
    assert all(
        amount <= (TOKENS if "tokens" in scope else REQUESTS) for (scope, _), amount in highest.items()
    )
    assert json.loads(built[0].run("ledger", "verify", "--config", str(built[0].config), "--json"))["whole"]
    assert second_verifier().verify(address(database)) == []
