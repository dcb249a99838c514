"""`config/recipes/out-of-credit.yaml`: what its page promises, one by one."""

import pytest
from openai import APIStatusError

from tests.recipes.cooking import ASK, KEY, answered_by


def ask(built):
    with built.client() as client:
        return client.chat.completions.with_raw_response.create(model="chat", messages=ASK)


@pytest.fixture
def built(built):
    """With accounts of which nothing is known: one that cannot pay is remembered for a while."""
    built.afresh()
    return built


def test_openai_answers_where_anthropics_credit_is_gone_and_anthropic_is_left_alone_for_a_while(built):
    assert answered_by(ask(built)) == "anthropic"
    built.script("anthropic: [{do: {error: money}}]")
    assert answered_by(ask(built)) == "openai"
    assert built.attempts() == [("anthropic", "money"), ("openai", "ok")]
    assert answered_by(ask(built)) == "openai"
    assert built.attempts() == [("openai", "ok")]


FAILURES = [
    ("{anthropic: [{do: {error: money}}], openai: [{do: {error: money}}]}", ("money", "money")),
    ("{anthropic: [{do: {error: money}}], openai: [{do: {error: overload}}]}", ("money", "overload")),
    ("{anthropic: [{do: {error: auth}}], openai: [{do: {reset: true}}]}", ("auth", "ambiguous")),
]


@pytest.mark.parametrize(("script", "kinds"), FAILURES)
def test_when_both_fail_the_error_names_both_and_what_each_said_and_no_secret(built, script, kinds):
    built.script(script)
    with pytest.raises(APIStatusError) as caught:
        ask(built)
    told = caught.value.response.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    for target, kind in zip(("anthropic/claude-sonnet-4-5", "openai/gpt-4o"), kinds, strict=True):
        assert f"{target} ({kind}" in told["message"]
    assert KEY not in caught.value.response.text
    assert "canary" not in caught.value.response.text
    assert caught.value.response.headers["x-request-id"]
    results = [result for _, result in built.attempts()]
    assert (results[0], results[-1]) == kinds


def test_while_both_are_left_alone_the_error_still_names_both_and_nobody_is_asked(built):
    built.script(FAILURES[0][0])
    for _ in range(2):
        with pytest.raises(APIStatusError) as caught:
            ask(built)
    message = caught.value.response.json()["error"]["message"]
    assert "anthropic/claude-sonnet-4-5 (money" in message
    assert "openai/gpt-4o (money" in message
