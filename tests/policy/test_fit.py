"""What a call needs, and who certainly lacks it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.abilities import ModelFacts
from proxy.policy.fit import CHARACTERS_PER_TOKEN, REASONS, Ability, Lack, Need, Needs, lacks, needs_of
from proxy.policy.prompt import Prompt
from tests.kit.asking import PIXEL, WEATHER
from tests.kit.scripted_ports import call

USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
FUNCTION = {"name": "weather", "parameters": {"type": "object"}}
CUSTOM = {"type": "custom", "custom": {"name": "shell"}}


def needed(asked):
    return needs_of(asked, Prompt.of(asked.body))


def image(*before):
    return [*before, {"type": "image_url", "image_url": {"url": PIXEL}}]


def text(words):
    return {"type": "text", "text": words}


SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
PAPER = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}

# members of the body → {ability: where it was asked for}
NEEDS = {
    "plain text needs nothing": ({}, {}),
    "sampling needs nothing": ({"temperature": 0.2, "stop": ["x"], "seed": 1, "max_tokens": 5}, {}),
    "values that ask for nothing": (
        {
            "tools": [],
            "functions": [],
            "n": 1,
            "logprobs": False,
            "top_logprobs": 0,
            "reasoning_effort": "none",
            "response_format": {"type": "text"},
            "tool_choice": "none",
        },
        {},
    ),
    "nulls ask for nothing": (
        dict.fromkeys(("tools", "tool_choice", "n", "logprobs", "response_format", "reasoning_effort")),
        {},
    ),
    "tools": ({"tools": [WEATHER]}, {"tools": "tools"}),
    "free choice": ({"tools": [WEATHER], "tool_choice": "auto"}, {"tools": "tools"}),
    "tools of another kind": ({"tools": [CUSTOM]}, {"tools": "tools"}),
    "some tool": (
        {"tools": [WEATHER], "tool_choice": "required"},
        {"tools": "tools", "forced_tools": "tool_choice"},
    ),
    "this tool": (
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"tools": "tools", "forced_tools": "tool_choice"},
    ),
    "one of these": (
        {
            "tools": [WEATHER],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}},
        },
        {"tools": "tools", "forced_tools": "tool_choice"},
    ),
    "any of these or none": (
        {
            "tools": [WEATHER],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        },
        {"tools": "tools"},
    ),
    "a choice among nothing": ({"tool_choice": "required"}, {}),
    "old functions": ({"functions": [FUNCTION], "function_call": "auto"}, {"tools": "functions"}),
    "this old function": (
        {"functions": [FUNCTION], "function_call": {"name": "weather"}},
        {"tools": "functions", "forced_tools": "function_call"},
    ),
    "a schema": ({"response_format": SCHEMA}, {"schemas": "response_format"}),
    "a schema while tools are offered": (
        {"response_format": SCHEMA, "tools": [WEATHER]},
        {"tools": "tools", "schemas": "response_format", "schemas_with_tools": "response_format"},
    ),
    "any JSON": ({"response_format": {"type": "json_object"}}, {}),
    "odds": ({"logprobs": True, "top_logprobs": 5}, {"logprobs": "logprobs"}),
    "top odds alone": ({"top_logprobs": 5}, {"logprobs": "top_logprobs"}),
    "two answers": ({"n": 2}, {"choices": "n"}),
    "some thought": ({"reasoning_effort": "minimal"}, {"thinking": "reasoning_effort"}),
    "a picture": (
        {"messages": [USER, {"role": "user", "content": image(text("what is this?"))}]},
        {"vision": "messages[1].content[1]"},
    ),
    "the first of two pictures": (
        {"messages": [{"role": "user", "content": image()}, {"role": "user", "content": image()}]},
        {"vision": "messages[0].content[0]"},
    ),
    "a sound": ({"messages": [{"role": "user", "content": [SOUND]}]}, {"audio": "messages[0].content[0]"}),
    "a document": ({"messages": [{"role": "user", "content": [PAPER]}]}, {"files": "messages[0].content[0]"}),
    "parts with empty members": (
        {"messages": [{"role": "user", "content": [{**text("x"), "image_url": None}]}]},
        {},
    ),
    "an answer begun": (
        {"messages": [USER, {"role": "assistant", "content": "{"}]},
        {"prefill": "messages[1]"},
    ),
    "an answer given": ({"messages": [USER, {"role": "assistant", "content": "x"}, USER]}, {}),
    "what no server would understand": (
        {
            "tools": "x",
            "tool_choice": 5,
            "response_format": [],
            "messages": [{"role": "user", "content": [1, None, "x"]}, {"role": "user", "content": 7}],
        },
        {"tools": "tools"},
    ),
}


@pytest.mark.parametrize("name", NEEDS)
def test_what_a_call_needs(name):
    members, expected = NEEDS[name]
    found = needed(call(**members)).abilities
    assert {need.ability.value: need.param for need in found} == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("contents", "characters"),
    [
        (["x" * 80], 80),
        (["x" * 79, "y"], 80),
        (["п" * 80], 80),
        ([[text("x" * 40), text("y" * 40)]], 80),
        ([image(text("x" * 80))], 80),
        ([[PAPER, SOUND]], 0),
        ([None], 0),
        (["x" * 7], 7),
        (["x" * 40, None, [text("y" * 40)], "z" * 8], 88),
    ],
)
def test_the_prompt_is_at_least_its_text_and_what_is_no_text_does_not_count(contents, characters):
    messages = [{"role": "user", "content": content} for content in contents]
    assert needed(call(messages=messages)).tokens == characters // CHARACTERS_PER_TOKEN


def test_every_ability_is_a_fact_of_models_and_has_its_words():
    assert {ability.value for ability in Ability} <= set(ModelFacts.__struct_fields__)
    assert set(REASONS) == set(Ability)


ALL = tuple(Need(ability, f"at {ability}") for ability in Ability if ability is not Ability.CONTEXT)
NOTHING = {need.ability.value: False for need in ALL} | {"thinking": frozenset()}


@pytest.mark.parametrize("ability", [need.ability for need in ALL])
def test_what_is_known_to_be_missing_is_lacking_and_nothing_else(ability):
    known = ModelFacts(**{ability.value: NOTHING[ability.value]})
    assert lacks(Needs(ALL), known) == (Lack(ability, f"at {ability}"),)
    assert lacks(Needs(), known) == ()


def test_who_can_do_all_lacks_nothing():
    able = ModelFacts(**dict.fromkeys(NOTHING, True) | {"thinking": frozenset({"level"})}, context=10)
    assert lacks(Needs(ALL, 10), able) == ()


@pytest.mark.parametrize(
    ("tokens", "context", "lacking"), [(10, 10, 0), (11, 10, 1), (11, None, 0), (0, 1, 0), (10**9, 1, 1)]
)
def test_a_context_is_too_small_only_for_a_prompt_that_cannot_fit(tokens, context, lacking):
    found = lacks(Needs((), tokens), ModelFacts(context=context))
    assert found == (Lack(Ability.CONTEXT, "messages"),) * lacking


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sets(st.sampled_from(ALL)), st.integers(0, 10**9))
def test_a_target_of_which_nothing_is_known_is_never_ruled_out(needs, tokens):
    assert lacks(Needs(tuple(needs), tokens), ModelFacts()) == ()
