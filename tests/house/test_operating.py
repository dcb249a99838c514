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
from tests.kit.processes import TABLE, calls, eventually, house

PAGE = Page(ROOT / "docs/operating.md")
ASK = [{"role": "user", "content": "Hello"}]


def section(title: str) -> str:
    """What stands beneath a heading, up to the next one of its depth or above."""
    level, rest = re.search(rf"^(#+) {title}\n(.*)", PAGE.text, re.DOTALL | re.MULTILINE).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def blocks(title: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", section(title), re.DOTALL | re.MULTILINE)


def typed(lines: str, folder) -> None:
    environ = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
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
