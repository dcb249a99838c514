"""What `docs/operating.md` says of copies is done as it is written there; its cards are whole."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from openai import OpenAI

from tests.house.pages import ROOT, Page
from tests.kit.processes import TABLE, House, calls, eventually, house

PAGE = Page(ROOT / "docs/operating.md")
SIZES = {
    "4,600 calls": "| 4,635 |",
    "0.21 ms": "| 207 |",
    "52 µs": "| 52 |",
    "45 µs": "| 45 |",
    "7.1 µs": "| 7.1 |",
    "50 MB": "| 50 |",
    "44 KiB": "that is 44 after",
    "3.9 GB": "(3.9 GB",
    "5,700 durable calls": "5,723 durable calls",
    "some 5,000 by one": "| 5,009 |",
    "3,200 by four": "| 3,205 |",
    "under three minutes": "| 163 |",
}
"""What is said of sizes, and the measurement that it is rounded from."""
ASK = [{"role": "user", "content": "Hello"}]


def section(title: str) -> str:
    """What stands beneath a heading, up to the next one of its depth or above."""
    level, rest = re.search(rf"^(#+) {title}\n(.*)", PAGE.text, re.DOTALL | re.MULTILINE).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def blocks(title: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", section(title), re.DOTALL | re.MULTILINE)


def typed(lines: str, folder, **variables: str) -> None:
    environ = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", **variables}
    shell = ["sh", "-e", "-c", lines]
    done = subprocess.run(
        shell, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def ask(built) -> None:
    with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as client:
        client.chat.completions.create(model="chat", messages=ASK, user="alice@example.com")


@pytest.mark.timeout(120)
def test_a_backup_made_as_written_beside_a_running_proxy_is_restored_as_written(tmp_path):
    if shutil.which("sqlite3") is None:
        pytest.skip("the command sqlite3 is not installed")
    backup, restore = blocks("Backup and restore")[:2]
    (tmp_path / "var").mkdir()
    with house(tmp_path, table=TABLE.replace("{folder}/ledger.db", "{folder}/var/ledger.db")) as built:
        ask(built)
        eventually(lambda: len(calls(built)) == 1)
        built.kill("proxy", how=signal.SIGTERM)  # a stop tells the first head
        built.serve()
        typed(backup, tmp_path)
        ask(built)
        built.kill("proxy")
        (tmp_path / "var").rename(tmp_path / "old")
        typed(restore, tmp_path)
        built.serve()
        ask(built)
        eventually(lambda: len(calls(built)) == 2)
        built.run("ledger", "verify", "--config", str(built.config))


@pytest.mark.timeout(120)
def test_a_backup_of_a_database_is_made_and_restored_as_written(tmp_path, postgres, database):
    if shutil.which("pg_dump") is None:
        pytest.skip("the command pg_dump is not installed")
    backup, restore = blocks("Backup and restore")[2:]
    fresh = postgres.database()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with house(tmp_path, table=TABLE.replace("sqlite:///{folder}/ledger.db", database.url)) as built:
        ask(built)
        eventually(lambda: len(calls(built)) == 1)
        typed(backup, tmp_path, DATABASE=database.url)
        typed(restore, tmp_path, FRESH=fresh.url)
        key = built.key
    assert b"fallthrough_keys" not in (tmp_path / "ledger.dump").read_bytes()
    again = House(elsewhere, table=TABLE.replace("sqlite:///{folder}/ledger.db", fresh.url), key=key)
    try:
        again.simulate()
        again.serve()
        ask(again)
        eventually(lambda: len(calls(again)) == 2)
        again.run("ledger", "verify", "--config", str(again.config))
    finally:
        again.close()
    postgres.drop(fresh)


@pytest.mark.parametrize(("said", "measured"), SIZES.items(), ids=list(SIZES))
def test_sizes_are_those_that_were_measured(said, measured):
    assert said in section("How much it takes")
    assert measured in Page(ROOT / "docs/performance.md").text


def test_every_card_says_four_things():
    cards = re.split(r"^### ", section("When something is wrong"), flags=re.MULTILINE)[1:]
    assert len(cards) >= 9
    for card in cards:
        assert re.findall(r"^\* \*\*(.*?)\*\*:", card, re.MULTILINE) == [
            "Noticed",
            "See it",
            "Do",
            "Leave alone",
        ]
