"""From a clone to one's own table in an outage: what README.md says is done, and what it promises is so."""

import re

import pytest

from tests.examples.installed import need_curl
from tests.examples.quickstart import ROOT
from tests.examples.readme import Clone, follow

README = (ROOT / "README.md").read_text()
VARIABLES = """\
AI_PROVIDER_ORDER=openai,anthropic
AI_OPENAI_API_KEY=sk-canary-a
AI_ANTHROPIC_API_KEY=sk-canary-b
AI_TENANT_DAILY_TOKEN_LIMIT=50000
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Where all of README.md has been done; what it served last still serves: the first upstream is dead."""
    need_curl()
    made = Clone(tmp_path_factory.mktemp("clone"))
    try:
        follow(made, README)
        yield made
    finally:
        made.close()


def said(clone, *words):
    """What came of the commands in which all of these words stand, in order."""
    found = [each for each in clone.said if all(word in each.command for word in words)]
    assert found, f"README.md has no command with {words}"
    return found


def test_every_command_succeeds(clone):
    assert [(each.command, each.errors) for each in clone.said if each.status != 0] == []
    assert len(clone.said) >= 7


def test_it_says_loudly_that_it_simulates(clone):
    assert "SIMULATED" in clone.log()


def test_the_first_call_is_answered_and_then_the_same_call_by_the_next_upstream(clone):
    first, again = said(clone, "from openai import OpenAI")
    assert first.output.splitlines()[-1] == "simulated-openai"
    assert again.output.splitlines()[-1] == "simulated-vllm"
    assert "Simulated answer from vllm" in again.output


def test_the_stream_comes_to_its_end(clone):
    (stream,) = said(clone, "curl", '"stream": true')
    assert stream.output.rstrip().endswith("data: [DONE]")


def test_the_ledger_has_both_attempts(clone):
    (usage,) = said(clone, "fallthrough usage", "--calls 1")
    assert re.search(r" simulated-openai/\S+  overload .*\n.* simulated-vllm/\S+  ok ", usage.output), (
        usage.output
    )


def test_the_dashboard_answers_where_it_is_said_to_be_and_shows_the_dead_one(clone):
    assert "(http://127.0.0.1:8081)" in README
    status, page = clone.get(8081, "/")
    assert status == 200
    assert "<html" in page
    status, state = clone.get(8081, "/admin/state")
    assert status == 200
    assert '"name":"simulated-openai"' in state
    assert '"result":"overload"' in state


def test_explain_tells_who_would_be_asked_in_which_order(clone):
    (told,) = said(clone, "fallthrough explain")
    assert re.search(r"1 .*simulated-openai/.*\n.*2 .*simulated-vllm/", told.output), told.output


def test_the_rehearsal_has_a_verdict(clone):
    (day,) = said(clone, "fallthrough rehearse")
    assert "Verdict" in day.output
    assert day.output.rstrip().endswith("Met")


def test_a_table_of_ones_own_can_take_its_place(clone):
    """One that is made of what one has: the variables of another system."""
    (clone.folder / ".env").write_text(VARIABLES)
    made = clone.run(".venv/bin/fallthrough import env --env-file .env --output own.yaml")
    assert made.status == 0
    assert "sk-canary" not in (clone.folder / "own.yaml").read_text()
    (day,) = said(clone, "fallthrough rehearse")
    mine = clone.run(day.command.replace("config/quickstart.yaml", "own.yaml"))
    assert (mine.status, mine.errors) == (0, "")
    assert "is answered by anthropic, no more by openai" in mine.output
    assert mine.output.rstrip().endswith("Met")


def test_every_path_that_is_pointed_at_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert len(links) > 10
