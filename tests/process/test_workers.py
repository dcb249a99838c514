"""Several workers behind one address: one truth about keys, limits and metrics, whichever answers."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from openai import OpenAI

from proxy.config.settings import Settings
from proxy.store.postgres.database import LEDGER, connect
from proxy.workers import Plan, Supervisor
from tests.kit.processes import TABLE, House, eventually, fallthrough, house
from tests.kit.virtual import VirtualClock
from tests.store.stores import PostgresStore

WORKERS = 3
BODY = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9})


@pytest.fixture
def served(tmp_path, database):
    table = TABLE.replace("sqlite:///{folder}/ledger.db", database.url)
    with house(tmp_path, table=table, options=("--workers", str(WORKERS))) as built:
        eventually(lambda: workers_in(metrics(built)) == WORKERS)
        yield built


def ask(built: House) -> int:
    """One call over a connection of its own, so that the kernel picks a worker; its status."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", built.ports["proxy"], timeout=20)
    ) as line:
        headers = {"authorization": f"Bearer {built.key}", "content-type": "application/json"}
        line.request("POST", "/v1/chat/completions", BODY, headers)
        answer = line.getresponse()
        answer.read()
        return answer.status


def ask_often(built: House, calls: int) -> list[int]:
    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(lambda _: ask(built), range(calls)))


def metrics(built: House) -> str:
    return built.get("admin", "/metrics")[1]


def workers_in(text: str) -> int:
    found = re.search(r"^fallthrough_workers (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def counted(text: str) -> int:
    return sum(int(float(n)) for n in re.findall(r"^fallthrough_calls_total\{.*\} (.*)$", text, re.MULTILINE))


def query(database, sql: str) -> list[tuple]:
    async def asked():
        connection = await connect(database, LEDGER)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(asked())


def pids(built: House) -> list[int]:
    """The processes of the workers."""
    supervisor = built.processes["proxy"].pid
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(supervisor)], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_all_workers_answer_and_whichever_is_scraped_tells_of_all(served, database):
    assert set(ask_often(served, 60)) == {200}
    assert len(query(database, "SELECT DISTINCT epoch FROM rows WHERE kind = 'reserve'")) == WORKERS
    eventually(lambda: [counted(metrics(served)) for _ in range(9)] == [60] * 9)
    assert PostgresStore(database).faults() == ()


def test_a_key_that_is_revoked_is_refused_by_every_worker(served):
    listed = served.run("keys", "--config", str(served.config), "list")
    (key,) = set(re.findall(r"key_[0-9a-f]{16}", listed))
    served.run("keys", "--config", str(served.config), "revoke", key)
    eventually(lambda: set(ask_often(served, 16)) == {401})


def test_a_worker_that_is_killed_is_started_again_and_the_others_answer_meanwhile(served):
    before = pids(served)
    assert len(before) == WORKERS
    assert set(ask_often(served, 30)) == {200}
    eventually(lambda: counted(metrics(served)) == 30)
    os.kill(before[0], signal.SIGKILL)
    assert counted(metrics(served)) == 30, "a sum that falls is a rise to who computes rates"
    eventually(lambda: len(set(pids(served)) - set(before)) == 1)
    eventually(lambda: workers_in(metrics(served)) == WORKERS)
    assert counted(metrics(served)) == 30
    assert set(ask_often(served, 30)) == {200}
    eventually(lambda: counted(metrics(served)) == 60)
    eventually(lambda: "worker 1 ended by itself (-9) and is started again" in served.log())


def test_all_workers_read_the_table_anew_when_their_supervisor_is_told_to(served):
    before = pids(served)
    os.kill(served.processes["proxy"].pid, signal.SIGHUP)
    eventually(lambda: f'fallthrough_table_reloads_total{{result="taken"}} {WORKERS}.0' in metrics(served))
    assert pids(served) == before


def test_an_end_drains_all_workers_and_is_a_success(served):
    workers = pids(served)
    assert ask(served) == 200
    assert served.kill("proxy", signal.SIGTERM) == 0
    assert not any(alive(pid) for pid in workers)
    assert served.log().count('"event": "stopped"') == WORKERS


def test_who_comes_while_one_worker_still_drains_is_told_so_and_waits_for_none_that_has_ended(
    tmp_path, database
):
    table = TABLE.replace("sqlite:///{folder}/ledger.db", database.url).replace("drain: 5s", "drain: 20s")
    with house(tmp_path, table=table, options=("--workers", str(WORKERS))) as built:
        eventually(lambda: workers_in(metrics(built)) == WORKERS)
        built.script("first: [{do: {chunk_delay: 100ms, tokens: 10000}}]")
        with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as sdk:
            asked = [{"role": "user", "content": "hello"}]
            with sdk.chat.completions.create(model="chat", messages=asked, stream=True) as held:
                next(held)
                os.kill(built.processes["proxy"].pid, signal.SIGTERM)
                eventually(lambda: built.log().count('"event": "stopped"') == WORKERS - 1)
                assert set(ask_often(built, 24)) == {503}
                assert next(held).choices


def test_workers_end_with_their_supervisor(served):
    workers = pids(served)
    os.kill(served.processes["proxy"].pid, signal.SIGKILL)
    served.processes.pop("proxy").wait()
    eventually(lambda: not any(alive(pid) for pid in workers))
    assert "the supervisor of the workers is gone" in served.log()


def test_a_ledger_in_a_file_has_one_worker(tmp_path):
    built = House(tmp_path)
    words = ("serve", "--config", str(built.config), "--workers", "2")
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 3
    assert "a ledger in a file has one process, not 2; name a PostgreSQL database" in done.stderr


def test_a_port_in_use_is_told_once_and_nothing_is_started(served):
    taken = House(served.folder, table=served.table)
    taken.ports["proxy"] = served.ports["proxy"]
    taken.config.write_text(taken.table.format(folder=taken.folder, **taken.ports))
    process = fallthrough(
        "serve",
        "--config",
        str(taken.config),
        "--workers",
        "2",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    assert said.count(b"cannot listen: public listener at 127.0.0.1:%d: " % served.ports["proxy"]) == 1


def test_a_file_in_the_place_of_the_workers_socket_is_not_removed(tmp_path, database):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    table = TABLE.replace("sqlite:///{folder}/ledger.db", database.url)
    built = House(tmp_path, table=table.replace("listen: 127.0.0.1:{proxy}", f"listen: unix:{precious}"))
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(built.config), "--workers", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4
    assert f"public listener at unix:{precious}: something that is no socket is there" in done.stderr
    assert precious.read_text() == "kept"


def test_what_no_worker_can_do_ends_them_all_with_its_reason(tmp_path, database):
    table = TABLE.replace("sqlite:///{folder}/ledger.db", f"postgresql:///nothing?host={tmp_path}")
    built = House(tmp_path, table=table)
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(built.config), "--workers", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert "PostgreSQL cannot be used" in done.stderr


def state(built: House) -> dict:
    return json.loads(built.get("admin", "/admin/state")[1])


def test_who_has_ended_unheard_is_no_hindrance_to_ending_the_others():
    """The kernel may know of a worker's end before the loop does; asyncio calls that an error."""

    class Worker:
        def __init__(self, *, there):
            self.there, self.told = there, False

        def send_signal(self, number):
            if not self.there:
                raise ProcessLookupError
            self.told = number == signal.SIGTERM

    gone, there = Worker(there=False), Worker(there=True)
    supervisor = Supervisor(Plan(("serve",), Settings(), 2), (), VirtualClock())
    supervisor._running = {1: gone, 2: there}
    supervisor.stop()
    assert there.told


def test_whichever_worker_is_asked_the_dashboard_shows_all_of_them(served):
    assert set(ask_often(served, 60)) == {200}

    def seen() -> bool:
        told = [state(served) for _ in range(6)]
        return all(
            sum(minute["calls"] for minute in each["minutes"]) == 60
            and sum(worker["calls"] for worker in each["workers"]) == 60
            and [worker["worker"] for worker in each["workers"]] == [1, 2, 3]
            for each in told
        )

    eventually(seen)
    assert len(state(served)["calls"]) == 50
    headers = {"authorization": f"Bearer {served.key}"}
    (first, *_) = json.loads(served.get("proxy", "/v1/upstreams", **headers)[1])["data"]
    assert (first["name"], first["attempts"], first["state"]) == ("first", 60, "up")

    def spent() -> int:
        return json.loads(served.get("proxy", "/v1/usage", **headers)[1])["spend"]["month"]["calls"]

    eventually(lambda: [spent() for _ in range(6)] == [60] * 6)


def test_a_worker_that_is_away_is_missed_on_the_dashboard_and_its_counts_are_kept(served):
    assert state(served)["workers_expected"] == WORKERS
    assert set(ask_often(served, 30)) == {200}
    eventually(lambda: counted(metrics(served)) == 30)
    stopped = pids(served)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        eventually(lambda: len(state(served)["workers"]) == WORKERS - 1)
        told = metrics(served)
        assert (workers_in(told), counted(told)) == (WORKERS - 1, 30)
    finally:
        os.kill(stopped, signal.SIGCONT)
    eventually(lambda: len(state(served)["workers"]) == WORKERS)
