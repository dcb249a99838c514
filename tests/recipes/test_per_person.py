"""`config/recipes/per-person.yaml`: what its page promises, one by one. Each test has people of its own."""

import json

import pytest
from openai import PermissionDeniedError, RateLimitError

from tests.kit.processes import eventually
from tests.recipes.cooking import ASK, answered_by


def ask(built, user, consent="true", **more):
    with built.client() as client:
        return client.chat.completions.with_raw_response.create(
            model="chat", messages=ASK, user=user, extra_headers={"x-user-consent": consent}, **more
        )


def marks(built):
    """What was told of counters, oldest first: each mark with the unit it is of."""
    entries = built.rows("SELECT entries FROM rows WHERE kind = 'alert' ORDER BY seq")
    return [(entry[2], entry[4]) for (text,) in entries for entry in json.loads(text)]


def test_a_person_is_told_at_80_percent_and_refused_at_100_and_nobody_else_is(built):
    built.script("{openai: [{do: {tokens: 8500}}]}")
    for _ in range(2):
        ask(built, "alice-4711@example.org", max_completion_tokens=8500)
    eventually(lambda: marks(built) == [("tokens", 80)])
    eventually(lambda: '"mark":80' in built.log().replace(" ", ""))
    assert "alice-4711" not in built.log()
    with pytest.raises(RateLimitError) as caught:
        ask(built, "alice-4711@example.org", max_completion_tokens=8500)
    headers = caught.value.response.headers
    assert headers["x-ratelimit-limit-tokens"] == "20000"
    assert 0 < int(headers["x-ratelimit-remaining-tokens"]) < 8500
    assert headers["x-should-retry"] == "false"
    assert answered_by(ask(built, "bob-0815@example.org", max_completion_tokens=8500)) == "openai"


@pytest.mark.parametrize("headers", [{}, {"x-user-consent": "false"}])
def test_without_consent_nobody_is_asked_and_nothing_is_kept(built, headers):
    before = built.rows("SELECT count(*) FROM rows WHERE kind = 'reserve'")
    with built.client() as client, pytest.raises(PermissionDeniedError) as caught:
        client.chat.completions.create(model="chat", messages=ASK, user="carol", extra_headers=headers)
    assert caught.value.code == "consent_required"
    assert built.rows("SELECT count(*) FROM rows WHERE kind = 'reserve'") == before


def test_the_history_is_on_this_machine_with_consent_and_pseudonyms_only(built):
    for user in ("dora-1742@example.org", "emil-2718@example.org"):
        ask(built, user)
    built.settled()
    sql = "SELECT user_pseudonym, consent FROM rows WHERE kind = 'reserve' ORDER BY seq DESC LIMIT 2"
    (first, agreed), (second, too) = built.rows(sql)
    assert first
    assert second
    assert first != second
    assert (agreed, too) == ("given", "given")
    assert built.traces("dora-1742", "emil-2718", "canary-prompt") == []


def test_who_is_forgotten_is_nobody_and_begins_anew(built):
    def newest():
        built.settled()
        sql = "SELECT user_pseudonym FROM rows WHERE kind = 'commit' ORDER BY seq DESC LIMIT 1"
        return built.rows(sql)[0][0]

    ask(built, "frida")
    before = newest()
    built.command("ledger", "erase", "--tenant", "acme", "--user", "frida")
    with pytest.raises(AssertionError, match="nobody of this id is known"):
        built.command("ledger", "export", "--tenant", "acme", "--user", "frida")
    ask(built, "frida")
    assert newest() != before
    assert "The ledger is whole." in built.command("ledger", "verify")


def test_the_twenty_first_call_of_a_minute_is_refused(built):
    """A minute may end in between: then there were at most twice as many."""
    allowed = 0
    with pytest.raises(RateLimitError) as caught:
        while allowed <= 40:
            ask(built, "gerd", max_completion_tokens=5)
            allowed += 1
    assert 20 <= allowed <= 40
    assert caught.value.response.headers["x-ratelimit-limit-requests"] == "20"


def test_the_house_answers_when_the_vendor_fails(built):
    built.script("openai: [{do: {error: overload}}]")
    assert answered_by(ask(built, "hilde")) == "vllm"
