"""The messages of a call, looked through once."""

import pytest

from proxy.policy.prompt import Prompt

SAID = {"role": "user", "content": "hello"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
NAMED = {"role": "user", "content": "hello", "name": "Jo"}
ASKS = {"role": "assistant", "content": "hello", "tool_calls": [{"id": "call_1"}]}
SILENT = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]}
SPOKEN = {"role": "assistant", "audio": {"id": "audio_1"}}


@pytest.mark.parametrize("other", [PARTS, NAMED, ASKS, SILENT, SPOKEN, {"role": "user"}, {}], ids=str)
def test_a_message_with_more_to_it_than_a_text_is_kept_aside_with_its_place(other):
    found = Prompt.of({"messages": [SAID, other, SAID]})
    assert found.others == ((1, other),)
    assert found.messages == 3
    assert found.characters == (15 if isinstance(other.get("content"), str) else 10)


def test_of_plain_messages_only_their_number_and_length_is_kept():
    assert Prompt.of({"messages": [SAID] * 9}) == Prompt(9, 45, ())


@pytest.mark.parametrize("messages", [None, "no", {}])
def test_what_is_no_list_of_messages_holds_nothing(messages):
    assert Prompt.of({"messages": messages}) == Prompt(0, 0, ())


def test_a_prompt_that_is_shown_shows_nothing_of_what_is_said():
    prompt = Prompt.of({"messages": [{"role": "user", "content": [{"type": "text", "text": "secret"}]}]})
    assert "secret" not in repr(prompt)
