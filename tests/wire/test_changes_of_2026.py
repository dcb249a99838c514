"""What the vendors changed in 2026, and older translators get wrong: one test each, through the dialects.

`CHANGES`, at the end, has them all by number; a number without a test fails. Golden cases and recordings
tell the same at length.
"""

import json

import pytest

from proxy.call import Kind
from proxy.wire.gemini.signatures import UNSIGNED
from tests.wire.dialogue import (
    FLASH,
    HISTORY,
    NEWEST,
    OLDER,
    OPUS,
    SIGNATURE,
    THOUGHTFUL,
    TOOLS,
    USER,
    ask,
    comes_back,
    follow,
    goes_up,
    heard,
    refused,
)
from tests.wire.samples import DONE, chunk, event
from tests.wire.vendors import openai


def test_the_version_of_messages_is_the_operators_and_the_newest_takes_no_sampling():
    headers = dict(ask("anthropic", OLDER).headers)
    assert headers["anthropic-version"] == "2023-06-01"
    pinned = ask("anthropic", OLDER, headers=(("anthropic-version", "2026-10-21"),), temperature=0.5)
    assert dict(pinned.headers)["anthropic-version"] == "2026-10-21"
    assert "temperature" not in json.loads(pinned.body)
    assert pinned.degraded == ("temperature",)


@pytest.mark.parametrize("model", [OPUS, NEWEST, "claude-of-next-year"])
def test_newer_claudes_get_no_sampling_under_any_version(model):
    request = ask("anthropic", model, temperature=0.2, top_k=5)
    assert json.loads(request.body).keys() == {"model", "messages", "max_tokens"}
    assert request.degraded == ("temperature", "top_k")


def test_messages_gets_exactly_one_credential():
    names = [name for name, _ in ask("anthropic", OPUS).headers]
    assert names.count("x-api-key") == 1
    assert "authorization" not in names


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        (OLDER, "high", {"type": "enabled", "budget_tokens": 16_000}),
        (OPUS, "high", {"type": "adaptive", "display": "summarized"}),
        (OPUS, "none", {"type": "disabled"}),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}),
        (NEWEST, "none", None),
    ],
)
def test_thinking_is_asked_for_as_each_claude_takes_it(model, effort, thinking):
    assert goes_up("anthropic", model, reasoning_effort=effort).get("thinking") == thinking


def test_a_last_word_of_the_assistant_goes_only_where_it_is_continued():
    messages = [USER, {"role": "assistant", "content": "It is "}]
    assert refused("anthropic", OPUS, messages=messages) == "messages"
    assert goes_up("anthropic", OLDER, messages=messages)["messages"][-1]["content"][0]["text"] == "It is"


def test_a_replayed_call_carries_what_its_upstream_demands_though_the_caller_dropped_it():
    """Turn two of a caller who keeps OpenAI's own members: from the memory, else as a stranger's call."""
    said = comes_back("gemini", FLASH, THOUGHTFUL["gemini"], tools=TOOLS)["contents"][1]["parts"]
    assert [(part["functionCall"]["args"]["a"], part.get("thoughtSignature")) for part in said] == [
        (1, SIGNATURE),
        (2, None),
    ]
    sent = comes_back("openai", "deepseek-chat", THOUGHTFUL["openai"], "deepseek", tools=TOOLS)
    assert sent["messages"][1]["reasoning_content"] == "Hm."
    strange = [{**one} for one in HISTORY]
    del strange[1]["reasoning_content"]
    parts = goes_up("gemini", FLASH, messages=strange)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [UNSIGNED, None]  # the first of each step
    assert goes_up("openai", like="deepseek", messages=strange)["messages"][1]["reasoning_content"] == ""
    assert goes_up("openai", like="deepseek", messages=HISTORY)["messages"][1]["reasoning_content"] == "Hm"


def test_members_of_2026_pass_where_they_are_known_and_never_vanish_where_they_matter():
    new = {"moderation": {"model": "omni"}, "reasoning_effort": "max", "prompt_cache_options": {"mode": "x"}}
    assert goes_up("openai", like="openai", **new).items() >= new.items()
    for dialect, model in (("anthropic", OPUS), ("gemini", FLASH)):
        assert refused(dialect, model, moderation=new["moderation"]) == "moderation"
    assert ask("vllm", moderation=new["moderation"]).kind is Kind.UNABLE
    assert goes_up("anthropic", OPUS, reasoning_effort="max")["output_config"] == {"effort": "max"}
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_tokens": 4}}
    _, out = follow("openai", chunk({"content": "x"}, "stop"), event({"choices": [], "usage": counts}), DONE)
    assert openai(out).counts.cache_write == 4


def test_reasoning_has_one_name_going_out_and_each_servers_own_going_in():
    lists = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]
    for dialect, said in (("vllm", {"reasoning": "Hm"}), ("openai", {"content": lists})):
        assert heard(dialect, chunk(said), chunk({"content": "x"}, "stop"), DONE).reasoning == "Hm"
    assert goes_up("vllm", messages=HISTORY)["messages"][1]["reasoning"] == "Hm"
    assert "Hm" not in json.dumps(goes_up("openai", like="openai", messages=HISTORY))


CHANGES = {
    1: test_the_version_of_messages_is_the_operators_and_the_newest_takes_no_sampling,
    2: test_newer_claudes_get_no_sampling_under_any_version,
    3: test_messages_gets_exactly_one_credential,
    4: test_thinking_is_asked_for_as_each_claude_takes_it,
    5: test_a_last_word_of_the_assistant_goes_only_where_it_is_continued,
    6: test_a_replayed_call_carries_what_its_upstream_demands_though_the_caller_dropped_it,
    7: test_members_of_2026_pass_where_they_are_known_and_never_vanish_where_they_matter,
    8: test_reasoning_has_one_name_going_out_and_each_servers_own_going_in,
}


def test_every_change_has_a_test_and_every_test_a_change():
    assert list(CHANGES) == list(range(1, 9))
    tests = {name for name in globals() if name.startswith("test_")}
    tests.remove("test_every_change_has_a_test_and_every_test_a_change")
    assert {test.__name__ for test in CHANGES.values()} == tests
