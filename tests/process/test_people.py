"""What the law lets people ask for, as an operator does it beside a running proxy."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import apsw
import pytest
from openai import OpenAI, PermissionDeniedError, RateLimitError

from proxy.store import open_keys
from proxy.store.keys import read_public_key
from proxy.store.subjects import DIGITS, digest_of
from tests.kit.killed import run_killed
from tests.kit.processes import TABLE, calls, eventually, house
from tests.kit.second import TOOLS, second_verifier
from tests.store.making import StillClock
from tests.store.stores import SqliteStore

ASK = [{"role": "user", "content": "hello"}]
ALICE, BOB = "alice-4711@example.org", "bob-0815@example.org"
LIMITS = "\nlimits:\n  - {per: tenant, requests: 1000, every: month}\n"


@pytest.fixture
def built(tmp_path):
    with house(tmp_path, extra=LIMITS) as opened:
        yield opened


@pytest.fixture
def say(built):
    """One call for a person; the pseudonym that the ledger has for it."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0))

        def said(user: str) -> str:
            raw = client.chat.completions.with_raw_response.create(model="chat", messages=ASK, user=user)
            call_id = raw.headers["x-request-id"]
            return eventually(lambda: pseudonyms(built).get(call_id))

        yield said


def query(built, sql: str) -> list[tuple]:
    with closing(apsw.Connection(str(built.folder / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)) as ledger:
        return ledger.execute(sql).fetchall()


def pseudonyms(built) -> dict[str, str]:
    return dict(query(built, "SELECT call_id, user_pseudonym FROM rows WHERE kind = 'commit'"))


def sessions(built) -> dict[str, str]:
    return dict(query(built, "SELECT call_id, session_pseudonym FROM rows WHERE kind = 'commit'"))


def subject(folder, user: str) -> tuple[bytes, bytes] | None:
    """Digest and key of a person, as the key file has them."""
    with closing(sqlite3.connect(folder / "keys.db")) as keys:
        (lookup,) = keys.execute("SELECT value FROM secrets WHERE name = 'subjects'").fetchone()
        sql = "SELECT digest, key FROM subjects WHERE digest = ?"
        return keys.execute(sql, (digest_of(lookup, "acme", user),)).fetchone()


def traces(built, *needles: bytes) -> list[tuple[str, bytes]]:
    """Every file of the house, its logs too, in which one of these can be found, plain or in hexadecimal."""
    wanted = {form for needle in needles for form in (needle, needle.hex().encode())}
    files = [path for path in built.folder.rglob("*") if path.is_file()]
    assert {"keys.db", "ledger.db", "ledger.db-wal", "proxy.log"} <= {path.name for path in files}
    return [(path.name, each) for path in files for each in wanted if each in path.read_bytes()]


def ledger(built, command: str, *words: str) -> str:
    return built.run("ledger", command, "--config", str(built.config), *words)


def whole(built) -> None:
    """Both verifiers find the ledger as it was written."""
    ledger(built, "verify")
    path = built.folder / "ledger.db"
    assert second_verifier().verify(path, key=read_public_key(path).raw) == []


def test_an_erasure_beside_a_running_proxy_leaves_no_trace_and_spares_everybody_else(built, say):
    alice, bob = say(ALICE), say(BOB)
    crowd = [say(f"somebody-{number}") for number in range(40)]
    assert say(ALICE) == alice
    assert len({alice, bob, *crowd}) == 42
    digest, key = subject(built.folder, ALICE)
    used, calls_before = query(built, "SELECT used FROM balances"), len(calls(built, 1000))
    assert traces(built, digest)
    ledger(built, "erase", "--tenant", "acme", "--user", ALICE)
    assert traces(built, digest, key, ALICE.encode()) == []
    with closing(sqlite3.connect(built.folder / "keys.db")) as keys:
        assert keys.execute("SELECT * FROM letters").fetchall() == []
    assert query(built, "SELECT used FROM balances") == used
    assert len(calls(built, 1000)) == calls_before
    again = say(ALICE)
    assert again not in {alice, bob, *crowd}
    assert len(again) == DIGITS
    assert say(ALICE) == again
    assert say(BOB) == bob
    [(tenant, who, pseudonym, result)] = query(
        built, "SELECT tenant, key_id, user_pseudonym, entries FROM rows WHERE kind = 'erase'"
    )
    assert (tenant, pseudonym, result) == ("acme", None, "[]")
    assert who.startswith("os:")
    whole(built)


def test_who_is_not_known_is_said_and_nothing_is_written(built, say):
    say(BOB)
    rows = query(built, "SELECT count(*) FROM rows")
    with pytest.raises(AssertionError, match="nobody of this id is known in tenant acme"):
        ledger(built, "erase", "--tenant", "acme", "--user", ALICE)
    assert query(built, "SELECT count(*) FROM rows") == rows


def test_without_a_proxy_the_command_does_it_all(built, say):
    say(ALICE)
    found = subject(built.folder, ALICE)
    built.kill("proxy")
    ledger(built, "erase", "--tenant", "acme", "--user", ALICE)
    assert subject(built.folder, ALICE) is None
    assert traces_at_rest(built, *found) == []
    assert len(query(built, "SELECT 1 FROM rows WHERE kind = 'erase'")) == 1
    whole(built)


def traces_at_rest(built, *needles: bytes) -> list[str]:
    return [
        path.name
        for path in built.folder.rglob("*")
        if path.is_file() and any(each in path.read_bytes() for each in needles)
    ]


STEPS = (
    *("proxy.store.sqlite.mailbox._destroy:before", "proxy.store.sqlite.mailbox._destroy:after"),
    *("proxy.store.acts.note_erasure:before", "proxy.store.acts.note_erasure:after"),
    *("proxy.store.sqlite.mailbox.scrub:before", "proxy.store.sqlite.mailbox.scrub:after"),
    "proxy.store.sqlite.mailbox.Mailbox.answer:after",
)


async def met(folder):
    """Two persons known, without a proxy; what their pseudonyms are."""
    store = SqliteStore(folder)
    async with open_keys(folder / "ledger.db", clock=StillClock()) as keys, store.open(seal=keys.seal):
        return store, [await keys.pseudonym("acme", user) for user in (ALICE, BOB)]


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_killed_at_any_step_is_not_begun_or_is_ended_by_the_next_owner(tmp_path, step):
    store, (alice, bob) = asyncio.run(met(tmp_path))
    found = subject(tmp_path, ALICE)
    words = ("ledger", "erase", "--ledger", str(store.path), "--tenant", "acme", "--user")
    assert run_killed(step, *words, ALICE) == -signal.SIGKILL
    subprocess.run([sys.executable, "-m", "proxy", *words, BOB], check=True, capture_output=True)
    erased = 1 if step == "proxy.store.sqlite.mailbox._destroy:before" else 2
    assert len(store.query("SELECT 1 FROM rows WHERE kind = 'erase'")) == erased
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    left = [path.name for path in files if any(each in path.read_bytes() for each in found)]
    assert left == ([] if erased == 2 else ["keys.db"])
    _, (alice_now, bob_now) = asyncio.run(met(tmp_path))
    assert (alice_now == alice, bob_now == bob) == (erased == 1, False)
    assert store.faults() == ()


def test_erased_twice_is_unknown_the_second_time(built, say):
    say(ALICE)
    ledger(built, "erase", "--tenant", "acme", "--user", ALICE)
    with pytest.raises(AssertionError, match="nobody of this id is known"):
        ledger(built, "erase", "--tenant", "acme", "--user", ALICE)
    assert json.loads(ledger(built, "verify", "--json"))["whole"]


def test_a_limit_that_was_reset_beside_a_running_proxy_lets_callers_in_again(tmp_path):
    limits = "\nlimits:\n  - {per: tenant, requests: 1, every: month}\n"
    with (
        house(tmp_path, extra=limits) as built,
        OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as client,
    ):
        client.chat.completions.create(model="chat", messages=ASK)
        with pytest.raises(RateLimitError):
            client.chat.completions.create(model="chat", messages=ASK)
        [counter] = json.loads(built.run("limits", "list", "--json", "--config", str(built.config)))
        assert (counter["used"], counter["ceiling"]) == (1, 1)
        built.run("limits", "reset", counter["scope"], "--config", str(built.config))
        client.chat.completions.create(model="chat", messages=ASK)
        whole(built)


def test_without_consent_only_the_house_answers_and_a_call_that_nobody_may_answer_costs_nothing(tmp_path):
    table = TABLE.replace("    dialect: vllm\n", "    dialect: vllm\n    tags: [self-hosted]\n")
    routes = "  - model: abroad\n    targets: [first/gpt-4o]\nprices:"
    extra = "\nprivacy: {consent: self_hosted_without}\n"
    with (
        house(tmp_path, table=table.replace("prices:", routes), extra=extra) as built,
        OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as client,
    ):

        def ask(model: str, **headers: str):
            return client.chat.completions.with_raw_response.create(
                model=model, messages=ASK, extra_headers=headers
            )

        assert ask("chat").headers["x-fallthrough-upstream"] == "vllm"
        assert ask("chat", **{"x-user-consent": "true"}).headers["x-fallthrough-upstream"] == "first"
        with pytest.raises(PermissionDeniedError) as caught:
            ask("abroad", **{"x-user-consent": "false"})
        assert caught.value.code == "consent_required"
        found = query(built, "SELECT model, consent FROM rows WHERE kind = 'reserve' ORDER BY seq")
        assert found == [("chat", None), ("chat", "given")]


def test_a_session_is_told_by_pseudonym_and_leads_to_nobody_once_its_person_is_erased(built):
    session = "talk-2718-of-alice"
    with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as client:

        def said(user: str | None, name: str = session) -> str:
            more = {} if user is None else {"user": user}
            raw = client.chat.completions.with_raw_response.create(
                model="chat", messages=ASK, extra_headers={"x-session-id": name}, **more
            )
            call_id = raw.headers["x-request-id"]
            return eventually(lambda: sessions(built).get(call_id))

        alice, bob, nobody = said(ALICE), said(BOB), said(None)
        assert said(ALICE) == alice
        assert len({alice, bob, nobody, said(ALICE, "another")}) == 4
        assert all(len(each) == DIGITS for each in (alice, bob, nobody))
        export = [json.loads(line) for line in exported(built, ALICE)]
        assert {row["session_pseudonym"] for row in export} >= {alice}
        ledger(built, "erase", "--tenant", "acme", "--user", ALICE)
        assert said(ALICE) not in {alice, bob, nobody}
        assert (said(BOB), said(None)) == (bob, nobody)
    assert traces(built, session.encode()) == []
    assert alice in {row["session_pseudonym"] for row in calls(built)}
    assert f"session {bob}" in built.run("usage", "--calls", "50", "--config", str(built.config))
    whole(built)


def exported(built, user: str) -> list[str]:
    folder = built.folder / "export"
    ledger(built, "export", "--tenant", "acme", "--user", user, "--to", str(folder))
    tool = [sys.executable, str(TOOLS / "verify_export.py"), str(folder)]
    checked = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return (folder / "rows.jsonl").read_text().splitlines()
