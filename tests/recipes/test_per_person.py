"""`config/recipes/per-person.yaml`: what its page promises, one by one."""

import json

import pytest
from openai import APIStatusError, PermissionDeniedError, RateLimitError

from tests.kit.processes import eventually
from tests.recipes.cooking import ASK, answered_by, cooked

ALICE, BOB = "alice-4711@example.org", "bob-0815@example.org"
LONG = "{openai: [{do: {tokens: 8500}}]}"


@pytest.fixture
def built(tmp_path):
    with cooked("per-person", tmp_path) as opened:
        yield opened


def ask(built, user, consent="true", **more):
    with built.client() as client:
        return client.chat.completions.with_raw_response.create(
            model="chat", messages=ASK, user=user, extra_headers={"x-user-consent": consent}, **more
        )


def alerts(built):
    """Marks that were told, of token counters."""
    return [json.loads(line) for line in built.log().splitlines() if '"mark"' in line or "quota" in line]


def test_a_person_is_told_at_80_percent_and_refused_at_100_and_nobody_else_is(built):
    built.script(LONG)
    for _ in range(2):
        ask(built, ALICE, max_completion_tokens=8500)
    built.last()
    marks = eventually(lambda: built.rows("SELECT entries FROM rows WHERE kind = 'alert'"))
    assert len(marks) == 1
    assert "80" in marks[0][0]
    with pytest.raises(RateLimitError) as caught:
        ask(built, ALICE, max_completion_tokens=8500)
    refused = caught.value
    assert refused.response.headers["x-ratelimit-limit-tokens"] == "20000"
    assert int(refused.response.headers["x-ratelimit-remaining-tokens"]) < 8500
    assert refused.response.headers["x-should-retry"] == "false"
    assert "20,000" in refused.message or "20000" in refused.message
    assert answered_by(ask(built, BOB, max_completion_tokens=8500)) == "openai"


def test_the_alert_is_in_the_log_and_names_nobody(built):
    built.script(LONG)
    for _ in range(2):
        ask(built, ALICE, max_completion_tokens=8500)
    eventually(lambda: "80 %" in built.log() or '"mark":80' in built.log().replace(" ", ""))
    assert ALICE not in built.log()


@pytest.mark.parametrize("headers", [{}, {"x-user-consent": "false"}])
def test_without_consent_nobody_is_asked_and_nothing_is_kept(built, headers):
    with built.client() as client, pytest.raises(PermissionDeniedError) as caught:
        client.chat.completions.create(model="chat", messages=ASK, user=ALICE, extra_headers=headers)
    assert caught.value.code == "consent_required"
    assert built.rows("SELECT count(*) FROM rows WHERE kind = 'reserve'") == [(0,)]


def test_the_consent_of_each_call_is_in_its_row(built):
    ask(built, ALICE)
    built.last()
    assert built.rows("SELECT consent FROM rows WHERE kind = 'reserve'") == [("given",)]


def test_the_history_is_on_this_machine_and_knows_people_by_pseudonym_only(built):
    ask(built, ALICE)
    ask(built, BOB)
    built.last()
    pseudonyms = {who for (who,) in built.rows("SELECT user_pseudonym FROM rows WHERE kind = 'commit'")}
    assert len(pseudonyms) == 2
    assert built.traces(ALICE, BOB, "canary-prompt") == []


def test_who_is_forgotten_is_nobody_and_begins_anew(built):
    ask(built, ALICE)
    built.last()
    [(before,)] = built.rows("SELECT user_pseudonym FROM rows WHERE kind = 'commit'")
    built.command("ledger", "erase", "--tenant", "acme", "--user", ALICE)
    with pytest.raises(AssertionError, match="nobody of this id is known"):
        built.command("ledger", "export", "--tenant", "acme", "--user", ALICE)
    ask(built, ALICE)
    built.last()
    rows = built.rows("SELECT user_pseudonym FROM rows WHERE kind = 'commit' ORDER BY seq")
    assert rows[0] == (before,)
    assert rows[1] != (before,)
    assert "whole" in built.command("ledger", "verify")


def test_the_twenty_first_call_of_a_minute_is_refused(built):
    """A minute may end in between: then there were at most twice as many."""

    def until_refused():
        for number in range(1, 42):
            try:
                ask(built, ALICE, max_completion_tokens=5)
            except APIStatusError as refused:
                return number, refused.status_code
        return None

    number, status = until_refused()
    assert (number > 20, status) == (True, 429)


def test_the_house_answers_when_the_vendor_fails(built):
    built.script("openai: [{do: {error: overload}}]")
    assert answered_by(ask(built, ALICE)) == "vllm"
