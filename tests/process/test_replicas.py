"""Two proxies on one PostgreSQL database: keys and persons are one truth, and an erasure reaches both."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys

import pytest
from openai import AuthenticationError, OpenAI

from proxy.store import open_keys
from proxy.store.postgres.database import KEYS, connect
from proxy.store.subjects import pseudonym_of
from tests.kit.killed import run_killed
from tests.kit.processes import TABLE, eventually, house
from tests.store.making import StillClock
from tests.store.replicas import ALICE, BOB, SUBJECTS
from tests.store.stores import PostgresStore

ASK = [{"role": "user", "content": "hello"}]


@pytest.fixture
def replicas(tmp_path, database):
    """Two houses on one database, and a way to talk to each."""
    table = TABLE.replace("sqlite:///{folder}/ledger.db", database.url)
    with contextlib.ExitStack() as stack:
        houses = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            houses.append(stack.enter_context(house(tmp_path / name, table=table)))
        yield houses


def say(built, user: str, key: str | None = None) -> str:
    """One call for a person; its id."""
    with OpenAI(base_url=built.base_url, api_key=key or built.key, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=ASK, user=user)
        return raw.headers["x-request-id"]


def query(database, sql: str, *values) -> list[tuple]:
    async def asked():
        connection = await connect(database, f"fallthrough, {KEYS}")
        try:
            return [tuple(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    return asyncio.run(asked())


def pseudonym(database, call_id: str) -> str:
    sql = "SELECT user_pseudonym FROM rows WHERE call_id = $1 AND kind = 'commit'"
    return eventually(lambda: query(database, sql, call_id))[0][0]


def command(built, *words: str) -> str:
    return built.run(*words, "--config", str(built.config))


def test_a_key_revoked_beside_one_proxy_is_refused_by_the_other(replicas):
    one, two = replicas
    assert say(two, BOB, one.key)
    listed = one.run("keys", "--config", str(one.config), "list")
    assert listed.count("acme") == 2
    key_id = next(word for word in listed.split() if word.startswith("key_"))
    one.run("keys", "--config", str(one.config), "revoke", key_id)

    def refused():
        try:
            say(two, BOB, one.key)
        except AuthenticationError:
            return True
        return False

    assert eventually(refused)
    assert say(one, BOB, two.key)


def test_a_person_erased_beside_two_proxies_is_new_to_both_and_in_no_table(replicas, database, postgres):
    one, two = replicas
    alice, bob = (pseudonym(database, say(one, user)) for user in (ALICE, BOB))
    assert [pseudonym(database, say(two, user)) for user in (ALICE, BOB)] == [alice, bob]
    before = query(database, SUBJECTS)
    command(two, "ledger", "erase", "--tenant", "acme", "--user", ALICE)
    (gone,) = set(before) - set(query(database, SUBJECTS))
    query(database, "CHECKPOINT")
    logs = [built.folder / f"{name}.log" for built in replicas for name in ("proxy", "simulator")]
    for needle in (*gone, ALICE.encode()):
        assert postgres.files_with(needle) == []
        assert [path.name for path in logs if needle in path.read_bytes()] == []
    again = pseudonym(database, say(one, ALICE))
    assert again not in {alice, bob}
    assert pseudonym(database, say(two, ALICE)) == again
    assert pseudonym(database, say(two, BOB)) == bob
    assert query(database, "SELECT tenant, user_pseudonym FROM rows WHERE kind = 'erase'") == [("acme", None)]
    assert query(database, "SELECT id FROM letters UNION ALL SELECT letter FROM marks") == []
    assert json.loads(command(one, "ledger", "verify", "--json"))["whole"]


def test_an_erasure_waits_for_no_proxy_that_was_killed_and_needs_none(replicas, database):
    one, two = replicas
    alice = pseudonym(database, say(one, ALICE))
    two.kill("proxy")
    command(one, "ledger", "erase", "--tenant", "acme", "--user", ALICE)
    again = pseudonym(database, say(one, ALICE))
    assert again != alice
    one.kill("proxy")
    command(one, "ledger", "erase", "--tenant", "acme", "--user", ALICE)
    assert query(database, "SELECT count(*) FROM rows WHERE kind = 'erase'") == [(2,)]
    assert json.loads(command(one, "ledger", "verify", "--json"))["whole"]


STEPS = (
    "proxy.store.postgres.mailbox.SharedMailbox.post_erasure:before",
    "proxy.store.postgres.mailbox.SharedMailbox.post_erasure:after",
    "proxy.store.acts.note_erasure:before",
    "proxy.store.acts.note_erasure:after",
    "proxy.store.postgres.mailbox.scrub:before",
    "proxy.store.postgres.mailbox.scrub:after",
    "proxy.store.postgres.mailbox._answer:after",
)


async def met(database) -> list[str]:
    async with open_keys(database, clock=StillClock()) as keys:
        return [await keys.pseudonym("acme", user) for user in (ALICE, BOB)]


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_killed_at_any_step_is_not_begun_or_is_ended_by_the_next(database, postgres, step):
    alice, _ = asyncio.run(met(database))
    found = {pseudonym_of(key): (digest, key) for digest, key in query(database, SUBJECTS)}[alice]
    words = ("ledger", "erase", "--ledger", database.url, "--tenant", "acme", "--user")
    store = PostgresStore(database)
    asyncio.run(opened(store))
    assert run_killed(step, *words, ALICE) == -signal.SIGKILL
    subprocess.run([sys.executable, "-m", "proxy", *words, BOB], check=True, capture_output=True)
    erased = 1 if step == STEPS[0] else 2
    assert query(database, "SELECT count(*) FROM rows WHERE kind = 'erase'") == [(erased,)]
    query(database, "CHECKPOINT")
    assert any(postgres.files_with(each) for each in found) == (erased == 1)
    assert (asyncio.run(met(database))[0] == alice) == (erased == 1)
    assert store.faults() == ()


async def opened(store) -> None:
    """Make the ledger, as the first start does."""
    async with store.open():
        pass
